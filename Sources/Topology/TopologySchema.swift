/// JSON Schema (draft 2020-12) of the files, made from the tables of keys that the parser uses: what a schema can say
/// (keys, types, words, patterns) is the same in both. Whether names exist and addresses fit, only the parser
/// says.
public enum TopologySchema {
  /// The schema of a lab file, or a tests file, as JSON text, indented, keys in a fixed order.
  public static func lab() -> String {
    var writer = SchemaWriter()
    return writer.write(FileKeys.lab, title: "Netloom topology file", alternatives: [FileKeys.tests])
  }

  /// The schema of the file of `netloom speaker`.
  public static func speaker() -> String {
    var writer = SchemaWriter()
    return writer.write(FileKeys.speaker, title: "Netloom speaker file")
  }

  /// The schema of a CHANGE, which is laid over a topology file.
  public static func change() -> String {
    var writer = SchemaWriter()
    return writer.write(ChangeKeys.file, title: "Netloom CHANGE")
  }

  /// The schema of the file of `netloom pipeline`.
  public static func pipeline() -> String {
    var writer = SchemaWriter()
    return writer.write(PipelineKeys.file, title: "Netloom pipeline file")
  }
}
