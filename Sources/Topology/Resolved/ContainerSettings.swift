public import NetTypes

/// What a node with an image runs, and how.
public struct ContainerSettings: Sendable, Equatable {
  public var image: ImageReference
  public var place: Place
  /// `cmd`, divided into words: in place of the image's own; nil: those of the image.
  public var arguments: [String]?
  /// Bytes; nil: no limit.
  public var memory: UInt64?
  /// Thousandths of a processor; nil: no limit.
  public var milliCPUs: UInt32?
  public var binds: [Bind] = []
  /// nil: it is ready when it runs.
  public var readyPort: UInt16?
  /// nil: the port need only take a connection.
  public var readyPath: String?

  public struct Bind: Sendable, Equatable {
    /// Absolute.
    public var source: String
    public var destination: String
    public var readOnly: Bool
  }
}
