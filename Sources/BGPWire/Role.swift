/// What a speaker says it is to the other end (RFC 9234 section 4.1, "BGP Role Value"). An unknown number is data.
public struct Role: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let provider = Role(rawValue: 0)
  public static let routeServer = Role(rawValue: 1)
  public static let routeServerClient = Role(rawValue: 2)
  public static let customer = Role(rawValue: 3)
  public static let peer = Role(rawValue: 4)

  /// Whether the other end may hold `other` when we hold this role (RFC 9234 section 4.2, table 2).
  public func agrees(with other: Role) -> Bool {
    switch (self, other) {
    case (.provider, .customer), (.customer, .provider), (.peer, .peer),
      (.routeServer, .routeServerClient), (.routeServerClient, .routeServer):
      true
    default: false
    }
  }
}

extension Role: CustomStringConvertible {
  public var description: String {
    switch self {
    case .provider: "provider"
    case .routeServer: "route server"
    case .routeServerClient: "route-server client"
    case .customer: "customer"
    case .peer: "peer"
    default: "role \(rawValue)"
    }
  }
}
