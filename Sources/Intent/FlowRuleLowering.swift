internal import ControlProtocol
internal import FoundationEssentials
internal import NetTypes
internal import Topology

extension NLFlowRule {
  init(_ rule: FlowSpecRule) {
    self.init()
    origin = NLOrigin(rule.origin)
    family = NLFamily(rule.family)
    if let prefix = rule.destination { add(.destinationPrefix, prefix) }
    if let prefix = rule.source { add(.sourcePrefix, prefix) }
    add(.protocol, rule.protocols.map { $0...$0 })
    add(.port, rule.ports)
    add(.destinationPort, rule.destinationPorts)
    add(.sourcePort, rule.sourcePorts)
    add(.icmpType, rule.icmpTypes.map { $0...$0 })
    add(.icmpCode, rule.icmpCodes.map { $0...$0 })
    if let flags = rule.tcpFlags { add(.tcpFlags, allBits: UInt64(flags)) }
    add(.packetLength, rule.lengths)
    add(.dscp, rule.dscp.map { $0...$0 })
    if let fragments = rule.fragments { add(fragments: fragments) }
    actions = rule.actions.map(NLFlowAction.init)
  }

  private mutating func add(_ type: FlowComponentType, _ prefix: IPPrefix) {
    var component = NLFlowComponent()
    component.type = type.rawValue
    component.prefix = NLPrefix(prefix)
    components.append(component)
  }

  /// Any of the ranges: a single value is `==`, a range `>=` and `<=` (RFC 8955 section 4.2.1.1).
  private mutating func add<Value: FixedWidthInteger>(_ type: FlowComponentType, _ ranges: [ClosedRange<Value>]) {
    guard !ranges.isEmpty else { return }
    var component = NLFlowComponent()
    component.type = type.rawValue
    for range in ranges {
      var first = NLFlowOperation()
      first.equal = true
      first.value = UInt64(range.lowerBound)
      guard range.lowerBound != range.upperBound else {
        component.operations.append(first)
        continue
      }
      first.greater = true
      var last = NLFlowOperation()
      last.and = true
      last.less = true
      last.equal = true
      last.value = UInt64(range.upperBound)
      component.operations += [first, last]
    }
    components.append(component)
  }

  private mutating func add(_ type: FlowComponentType, allBits bits: UInt64) {
    var component = NLFlowComponent()
    component.type = type.rawValue
    var operation = NLFlowOperation()
    operation.match = true
    operation.value = bits
    component.operations = [operation]
    components.append(component)
  }

  /// RFC 8955 section 4.2.2.12: the bits IsF (2) and FF (4), either of them; LF always comes with IsF.
  private mutating func add(fragments: Bool) {
    var component = NLFlowComponent()
    component.type = FlowComponentType.fragment.rawValue
    var operation = NLFlowOperation()
    operation.value = 0b110
    operation.not = !fragments
    component.operations = [operation]
    components.append(component)
  }
}

/// Numbers of RFC 8955 section 4.2.2.
private enum FlowComponentType: UInt32 {
  case destinationPrefix = 1
  case sourcePrefix = 2
  case `protocol` = 3
  case port = 4
  case destinationPort = 5
  case sourcePort = 6
  case icmpType = 7
  case icmpCode = 8
  case tcpFlags = 9
  case packetLength = 10
  case dscp = 11
  case fragment = 12
}

extension NLFlowAction {
  init(_ action: FlowSpecRule.Action) {
    self.init()
    switch action {
    case .drop: rateBytes = 0
    case .rate(let bytes): rateBytes = bytes
    case .packets(let packets): ratePackets = packets
    case .mark(let dscp): self.dscp = UInt32(dscp)
    case .redirect(let address): redirect = .init(address.bytes)
    }
  }
}
