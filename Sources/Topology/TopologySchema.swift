/// JSON Schema (draft 2020-12) of the files, made from the tables of keys that the parser uses.
public enum TopologySchema {
  /// The schema of a lab file as JSON text, indented, keys in a fixed order.
  public static func lab() -> String { preconditionFailure("being written") }

  /// The schema of the file of `netloom speaker`.
  public static func speaker() -> String { preconditionFailure("being written") }
}
