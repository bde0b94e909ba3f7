internal import CLinux
internal import NetTypes
internal import Netlink

// Entries as attributes (linux/netfilter/nfnetlink_conntrack.h).

extension ConntrackEntry {
  /// nil: not of IPv4 or IPv6, or cut short.
  init?(_ message: Message) {
    var original: ConntrackTuple?
    var reply: ConntrackTuple?
    for attribute in message.attributes(after: nfgenmsg.self) {
      switch attribute.type {
      case AttributeType(CTA_TUPLE_ORIG): original = ConntrackTuple(attribute)
      case AttributeType(CTA_TUPLE_REPLY): reply = ConntrackTuple(attribute)
      default: break
      }
    }
    guard let original, let reply else { return nil }
    self.init(original: original, reply: reply)
    for attribute in message.attributes(after: nfgenmsg.self) { read(attribute) }
  }

  private mutating func read(_ attribute: Attribute) {
    switch attribute.type {
    case AttributeType(CTA_STATUS): status = ConntrackStatus(rawValue: attribute.network() ?? 0)
    case AttributeType(CTA_TIMEOUT): timeout = attribute.network()
    case AttributeType(CTA_MARK): mark = attribute.network() ?? 0
    case AttributeType(CTA_ZONE): zone = attribute.network() ?? 0
    case AttributeType(CTA_TUPLE_ORIG):
      for part in attribute.nested where part.type == AttributeType(CTA_TUPLE_ZONE) {
        originalZone = part.network() ?? 0
      }
    case AttributeType(CTA_ID): id = attribute.network()
    case AttributeType(CTA_COUNTERS_ORIG): originalCount = Count(attribute)
    case AttributeType(CTA_COUNTERS_REPLY): replyCount = Count(attribute)
    case AttributeType(CTA_PROTOINFO):
      for info in attribute.nested where info.type == AttributeType(CTA_PROTOINFO_TCP) {
        let state = info.nested.first { $0.type == AttributeType(CTA_PROTOINFO_TCP_STATE) }
        tcpState = state?.integer(UInt8.self).flatMap(ConntrackTCPState.init(rawValue:))
      }
    default: break
    }
  }
}

extension ConntrackEntry.Count {
  fileprivate init(_ counters: Attribute) {
    for attribute in counters.nested {
      switch attribute.type {
      case AttributeType(CTA_COUNTERS_PACKETS): packets = attribute.network() ?? 0
      case AttributeType(CTA_COUNTERS_BYTES): bytes = attribute.network() ?? 0
      default: break
      }
    }
  }
}

extension ConntrackTuple {
  fileprivate init?(_ tuple: Attribute) {
    var source: IPAddress?
    var destination: IPAddress?
    var parts = ProtocolParts()
    for attribute in tuple.nested {
      switch attribute.type {
      case AttributeType(CTA_TUPLE_IP):
        for address in attribute.nested {
          switch address.type {
          case AttributeType(CTA_IP_V4_SRC), AttributeType(CTA_IP_V6_SRC): source = address.address
          case AttributeType(CTA_IP_V4_DST), AttributeType(CTA_IP_V6_DST): destination = address.address
          default: break
          }
        }
      case AttributeType(CTA_TUPLE_PROTO): attribute.nested.forEach { parts.read($0) }
      default: break
      }
    }
    guard let source, let destination, source.family == destination.family else { return nil }
    self.init(source, destination, TransportProtocol(rawValue: parts.number), parts.detail)
  }

  /// enum ctattr_l4proto
  private struct ProtocolParts {
    var number: UInt8 = 0
    private var sourcePort: UInt16?
    private var destinationPort: UInt16?
    private var id: UInt16?
    private var type: UInt8 = 0
    private var code: UInt8 = 0

    mutating func read(_ attribute: Attribute) {
      switch attribute.type {
      case AttributeType(CTA_PROTO_NUM): number = attribute.integer() ?? 0
      case AttributeType(CTA_PROTO_SRC_PORT): sourcePort = attribute.network()
      case AttributeType(CTA_PROTO_DST_PORT): destinationPort = attribute.network()
      case AttributeType(CTA_PROTO_ICMP_ID), AttributeType(CTA_PROTO_ICMPV6_ID): id = attribute.network()
      case AttributeType(CTA_PROTO_ICMP_TYPE), AttributeType(CTA_PROTO_ICMPV6_TYPE): type = attribute.integer() ?? 0
      case AttributeType(CTA_PROTO_ICMP_CODE), AttributeType(CTA_PROTO_ICMPV6_CODE): code = attribute.integer() ?? 0
      default: break
      }
    }

    var detail: Detail {
      if let id { return .icmp(id: id, type: type, code: code) }
      guard let sourcePort, let destinationPort else { return .none }
      return .ports(source: sourcePort, destination: destinationPort)
    }
  }
}

extension MessageBatch {
  /// One direction of a connection.
  /// - Parameter zone: of this direction alone; 0: none.
  mutating func put(_ type: AttributeType, _ tuple: ConntrackTuple, zone: UInt16 = 0) {
    let isIPv4 = tuple.family == .ipv4
    nest(type) { batch in
      if zone != 0 { batch.put(network: zone, AttributeType(CTA_TUPLE_ZONE)) }
      batch.nest(AttributeType(CTA_TUPLE_IP)) { batch in
        batch.put(isIPv4 ? AttributeType(CTA_IP_V4_SRC) : AttributeType(CTA_IP_V6_SRC), tuple.source)
        batch.put(isIPv4 ? AttributeType(CTA_IP_V4_DST) : AttributeType(CTA_IP_V6_DST), tuple.destination)
      }
      batch.nest(AttributeType(CTA_TUPLE_PROTO)) { batch in
        batch.put(AttributeType(CTA_PROTO_NUM), tuple.transport.rawValue)
        switch tuple.detail {
        case .ports(let source, let destination):
          batch.put(network: source, AttributeType(CTA_PROTO_SRC_PORT))
          batch.put(network: destination, AttributeType(CTA_PROTO_DST_PORT))
        case .icmp(let id, let type, let code):
          batch.put(network: id, isIPv4 ? AttributeType(CTA_PROTO_ICMP_ID) : AttributeType(CTA_PROTO_ICMPV6_ID))
          batch.put(isIPv4 ? AttributeType(CTA_PROTO_ICMP_TYPE) : AttributeType(CTA_PROTO_ICMPV6_TYPE), type)
          batch.put(isIPv4 ? AttributeType(CTA_PROTO_ICMP_CODE) : AttributeType(CTA_PROTO_ICMPV6_CODE), code)
        case .none: break
        }
      }
    }
  }
}
