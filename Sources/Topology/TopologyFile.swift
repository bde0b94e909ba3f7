/// The lab file: text → `ResolvedLab`. See `load(path:)`.
public enum TopologyFile {
  /// Reads and resolves a topology file, or a tests file (`{topology: FILE, tests: [...]}`) with the topology that it
  /// names. Never throws and never stops at the first mistake: all diagnostics come together, sorted by place.
  public static func load(path: String) -> Parsed<ResolvedLab> {
    preconditionFailure("being written")
  }

  /// The same for text in hand. `file` is what diagnostics call it; relative paths start at `baseDirectory`.
  public static func parse(text: String, file: String, baseDirectory: String) -> Parsed<ResolvedLab> {
    preconditionFailure("being written")
  }
}
