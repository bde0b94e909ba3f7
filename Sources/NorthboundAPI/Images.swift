/// `POST /v1/nodes/NODE/image`: the node's container is to run this image from now on.
public struct ImageRequest: Codable, Sendable, Equatable {
  /// `[REGISTRY:PORT/]NAME[:TAG][@sha256:…]`; without a registry: of the machine's image store.
  public var image: String
  /// Instead of the node's `env`; nil: what it has now.
  public var env: [String: String]?
  /// Seconds for the whole change, fetching included; nil: 30.
  public var within: Double?
  public init(image: String, env: [String: String]? = nil, within: Double? = nil) {
    self.image = image
    self.env = env
    self.within = within
  }
}

/// The new image runs and is ready.
public struct ImageReply: Codable, Sendable, Equatable {
  public var node: String
  public var image: String
  /// `sha256:…`
  public var digest: String
  /// From the request until the new program was ready.
  public var readyMs: Double
  /// The digest that it ran before; nil: none.
  public var previous: String?
  public init(node: String, image: String, digest: String, readyMs: Double, previous: String?) {
    self.node = node
    self.image = image
    self.digest = digest
    self.readyMs = readyMs
    self.previous = previous
  }
}

/// What a container node runs, in `GET /v1/status`.
public struct ContainerStatus: Codable, Sendable, Equatable {
  /// As it was asked for.
  public var image: String
  /// `sha256:…`; nil: not known yet.
  public var digest: String?
  /// fetching | starting | ready | changing | failed | stopped
  public var state: String
  /// Why it failed, or why the last change was taken back.
  public var reason: String?
  public init(image: String, digest: String?, state: String, reason: String?) {
    self.image = image
    self.digest = digest
    self.state = state
    self.reason = reason
  }
}
