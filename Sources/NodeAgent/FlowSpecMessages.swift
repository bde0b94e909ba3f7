// Flow rules between messages and values: what a speaker is told to originate, and what a question is answered with.

internal import BGPCore
internal import BGPWire
internal import ControlProtocol
internal import FoundationEssentials
internal import NetTypes

extension OriginatedFlowRule {
  init(_ message: NLFlowRule) throws(Refusal) {
    let offender = message.origin.text.isEmpty ? "flowspec" : message.origin.text
    func refusal(_ reason: String) -> Refusal { Refusal(offender, reason, place: message.origin.place) }
    let family: AddressFamily
    switch message.family {
    case .ipv4Unicast, .ipv4Flowspec: family = .ipv4
    case .ipv6Unicast, .ipv6Flowspec: family = .ipv6
    default: throw refusal("no address family")
    }
    var values: [(FlowComponentType, FlowComponent.Value)] = []
    for component in message.components {
      guard let type = UInt8(exactly: component.type).flatMap(FlowComponentType.init(rawValue:)) else {
        throw refusal("unknown component type \(component.type)")
      }
      guard let value = FlowComponent.Value(component, type) else { throw refusal("\(type.name): bad value") }
      values.append((type, value))
    }
    let rule: FlowRule
    do throws(FlowRuleFault) {
      rule = try FlowRule(family, values)
    } catch {
      throw refusal(error.description)
    }
    guard let actions = FlowActions(message.actions) else { throw refusal("bad action") }
    self.init(rule, actions)
  }
}

extension FlowComponent.Value {
  fileprivate init?(_ message: NLFlowComponent, _ type: FlowComponentType) {
    guard type.form == .prefix else {
      guard !message.operations.isEmpty else { return nil }
      self = .operations(message.operations.map { FlowOperation($0, type.form) })
      return
    }
    guard let prefix = IPPrefix(message.prefix), let offset = UInt8(exactly: message.offset),
      let value = FlowPrefix(prefix, offset: offset)
    else { return nil }
    self = .prefix(value)
  }
}

extension FlowOperation {
  fileprivate init(_ message: NLFlowOperation, _ form: FlowComponentType.Form) {
    var comparison: Comparison = []
    if form == .bitmask {
      if message.not { comparison.insert(.not) }
      if message.match { comparison.insert(.match) }
    } else {
      if message.less { comparison.insert(.less) }
      if message.greater { comparison.insert(.greater) }
      if message.equal { comparison.insert(.equal) }
    }
    self.init(comparison, message.value, isAnd: message.and)
  }
}

extension FlowActions {
  /// nil: a rate that is no number or negative, a code point of more than six bits, an address of neither family.
  fileprivate init?(_ messages: [NLFlowAction]) {
    self.init()
    for message in messages {
      switch message.action {
      case .rateBytes(let rate):
        guard rate >= 0 else { return nil }
        rateBytes = rate
      case .ratePackets(let rate):
        guard rate >= 0 else { return nil }
        ratePackets = rate
      case .dscp(let codePoint):
        guard codePoint < 64 else { return nil }
        dscp = UInt8(codePoint)
      case .sample(let samples): isSampled = samples
      case .terminal(let ends): continues = !ends
      case .redirect(let bytes):
        guard let address = IPAddress(bytes) else { return nil }
        redirect = .address(address, copies: false)
      case nil: return nil
      }
    }
  }
}

extension NLFlowSpecRoute {
  init(_ view: FlowRuleView) {
    self.init()
    family = NLFamily(Family(flowSpec: view.rule.family))
    text = view.rule.description
    neighbor = view.neighbor
    active = view.isActive
    inactiveBecause = view.inactiveBecause ?? ""
    actions = view.actions?.texts ?? []
    asPath = view.attributes.asPath.segments.map { segment in
      var message = NLASSegment()
      message.type = UInt32(segment.kind.rawValue)
      message.asns = segment.asns.map(\.rawValue)
      return message
    }
  }
}
