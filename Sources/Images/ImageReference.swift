public import NetTypes

public typealias ImageDigest = NetTypes.ImageDigest
public typealias ImageReference = NetTypes.ImageReference

extension ImageReference {
  /// As `init(reading:)`; throws `usage`.
  public init(_ text: String) throws(ImageError) {
    do throws(Malformed) {
      try self.init(reading: text)
    } catch {
      throw ImageError(.usage, "`\(text)` names no image; expected \(error.expected)")
    }
  }
}
