/// Capability code (RFC 5492, IANA "Capability Codes"). An unknown number is data.
public struct CapabilityCode: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let multiprotocol = CapabilityCode(rawValue: 1)
  public static let routeRefresh = CapabilityCode(rawValue: 2)
  public static let extendedMessage = CapabilityCode(rawValue: 6)
  public static let role = CapabilityCode(rawValue: 9)
  public static let gracefulRestart = CapabilityCode(rawValue: 64)
  public static let fourOctetAS = CapabilityCode(rawValue: 65)
  public static let addPath = CapabilityCode(rawValue: 69)
  public static let enhancedRouteRefresh = CapabilityCode(rawValue: 70)
  public static let longLivedGracefulRestart = CapabilityCode(rawValue: 71)
  public static let hostname = CapabilityCode(rawValue: 73)
  public static let prestandardRouteRefresh = CapabilityCode(rawValue: 128)
}

/// What one end says it can do. What we do not know is kept as it came, and ignored (RFC 5492 section 3).
public enum Capability: Hashable, Sendable {
  /// RFC 4760 section 8. The pair may be one that we carry no routes of.
  case multiprotocol(AFI, SAFI)
  /// RFC 2918, and its code 128 of before the standard.
  case routeRefresh
  case gracefulRestart(GracefulRestart)
  /// RFC 6793: the AS number of the sender.
  case fourOctetAS(UInt32)
  /// RFC 9234.
  case role(Role)
  case other(CapabilityCode, [UInt8])

  /// RFC 4724 section 3.
  public struct GracefulRestart: Hashable, Sendable {
    public struct Entry: Hashable, Sendable {
      public var afi: AFI
      public var safi: SAFI
      /// The sender kept its forwarding state for the family over its restart.
      public var isForwardingPreserved: Bool

      public init(afi: AFI, safi: SAFI, isForwardingPreserved: Bool) {
        self.afi = afi
        self.safi = safi
        self.isForwardingPreserved = isForwardingPreserved
      }
    }
    /// R: the sender has just restarted.
    public var isRestarting: Bool
    /// N (RFC 8538): a NOTIFICATION does not end graceful restart.
    public var survivesNotification: Bool
    /// Seconds, 12 bits.
    public var restartTime: UInt16
    public var entries: [Entry]

    public init(isRestarting: Bool, survivesNotification: Bool = false, restartTime: UInt16, entries: [Entry]) {
      self.isRestarting = isRestarting
      self.survivesNotification = survivesNotification
      self.restartTime = restartTime
      self.entries = entries
    }
  }
}

// MARK: The registry, one row a capability

extension Capability {
  struct Row: Sendable {
    var code: CapabilityCode
    var name: String
    /// nil: the length is wrong.
    var decode: (@Sendable (UnsafeRawBufferPointer) -> Capability?)?
  }

  /// "Capability Codes" as far as we act on it or name it. Encoding stands in `value` below, where the compiler sees
  /// that no case is left out.
  static let registry: [Row] = [
    Row(code: .multiprotocol, name: "Multiprotocol Extensions") { bytes in
      bytes.count == 4
        ? .multiprotocol(AFI(rawValue: bytes.bigEndian16(at: 0)), SAFI(rawValue: bytes[3])) : nil
    },
    Row(code: .routeRefresh, name: "Route Refresh") { $0.isEmpty ? .routeRefresh : nil },
    // No RFC fixes its length: with another one it is something unknown, which costs nothing (RFC 5492 section 3).
    Row(code: .prestandardRouteRefresh, name: "Route Refresh (128)") {
      $0.isEmpty ? .routeRefresh : .other(.prestandardRouteRefresh, Array($0))
    },
    Row(code: .extendedMessage, name: "Extended Message"),
    Row(code: .role, name: "BGP Role") { $0.count == 1 ? .role(Role(rawValue: $0[0])) : nil },
    Row(code: .gracefulRestart, name: "Graceful Restart", decode: decodeGracefulRestart),
    Row(code: .fourOctetAS, name: "4-octet AS number") { $0.count == 4 ? .fourOctetAS($0.bigEndian32(at: 0)) : nil },
    Row(code: .addPath, name: "ADD-PATH"),
    Row(code: .enhancedRouteRefresh, name: "Enhanced Route Refresh"),
    Row(code: .longLivedGracefulRestart, name: "Long-Lived Graceful Restart"),
    Row(code: .hostname, name: "FQDN"),
  ]

  @Sendable private static func decodeGracefulRestart(_ bytes: UnsafeRawBufferPointer) -> Capability? {
    guard bytes.count >= 2, (bytes.count - 2) % 4 == 0 else { return nil }
    let head = bytes.bigEndian16(at: 0)
    return .gracefulRestart(
      GracefulRestart(
        isRestarting: head & 0x8000 != 0, survivesNotification: head & 0x4000 != 0, restartTime: head & 0x0FFF,
        entries: stride(from: 2, to: bytes.count, by: 4).map {
          GracefulRestart.Entry(
            afi: AFI(rawValue: bytes.bigEndian16(at: $0)), safi: SAFI(rawValue: bytes[$0 + 2]),
            isForwardingPreserved: bytes[$0 + 3] & 0x80 != 0)
        }))
  }

  public var code: CapabilityCode {
    switch self {
    case .multiprotocol: .multiprotocol
    case .routeRefresh: .routeRefresh
    case .gracefulRestart: .gracefulRestart
    case .fourOctetAS: .fourOctetAS
    case .role: .role
    case .other(let code, _): code
    }
  }

  /// The registry's name; a family's capability with the family.
  public var name: String {
    let name = Self.registry.first { $0.code == code }?.name ?? "capability \(code.rawValue)"
    guard case .multiprotocol(let afi, let safi) = self else { return name }
    return name + " " + (Family(afi: afi, safi: safi)?.description ?? "\(afi.rawValue)/\(safi.rawValue)")
  }

  private func appendValue(to bytes: inout [UInt8]) {
    switch self {
    case .multiprotocol(let afi, let safi):
      bytes.appendBigEndian(afi.rawValue)
      bytes.append(0)
      bytes.append(safi.rawValue)
    case .routeRefresh: break
    case .gracefulRestart(let restart):
      bytes.appendBigEndian(
        (restart.isRestarting ? 0x8000 : 0) | (restart.survivesNotification ? 0x4000 : 0)
          | min(restart.restartTime, 0x0FFF))
      for entry in restart.entries {
        bytes.appendBigEndian(entry.afi.rawValue)
        bytes.append(entry.safi.rawValue)
        bytes.append(entry.isForwardingPreserved ? 0x80 : 0)
      }
    case .fourOctetAS(let asn): bytes.appendBigEndian(asn)
    case .role(let role): bytes.append(role.rawValue)
    case .other(_, let value): bytes.append(contentsOf: value.prefix(255))
    }
  }

  /// Code, length, value of each, one after the other.
  static func encode(_ capabilities: [Capability]) -> [UInt8] {
    var bytes: [UInt8] = []
    for capability in capabilities {
      bytes.append(capability.code.rawValue)
      bytes.appendLengthPrefixed { capability.appendValue(to: &$0) }
    }
    return bytes
  }

  /// The value of one Capabilities parameter: any number of triples.
  static func decode(_ bytes: UnsafeRawBufferPointer, into capabilities: inout [Capability]) throws(MessageError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      guard rest.count >= 2 else { throw .malformedOpen }
      let code = CapabilityCode(rawValue: rest[rest.startIndex])
      let length = Int(rest[rest.startIndex + 1])
      rest = rest.dropFirst(2)
      guard rest.count >= length else { throw .malformedOpen }
      let value = UnsafeRawBufferPointer(rebasing: rest.prefix(length))
      rest = rest.dropFirst(length)
      guard let decode = registry.first(where: { $0.code == code })?.decode else {
        capabilities.append(.other(code, Array(value)))
        continue
      }
      guard let capability = decode(value) else { throw .malformedOpen }
      capabilities.append(capability)
    }
  }
}
