/// The file of `netloom speaker` (contract section 3).
public enum SpeakerFile {
  public static func load(path: String) -> Parsed<ResolvedSpeaker> {
    preconditionFailure("being written")
  }

  public static func parse(text: String, file: String) -> Parsed<ResolvedSpeaker> {
    preconditionFailure("being written")
  }
}
