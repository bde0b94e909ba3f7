internal import ControlProtocol
internal import NetTypes
internal import Netlink
internal import Nftables

/// A shaper with the interface it stands on.
struct InterfaceShaper {
  var link: InterfaceIndex
  var interface: String
  var origin: NLOrigin
  var shape: TrafficShape
  var plan: TrafficPlan

  init(_ message: NLShaper, links: some Collection<Link>) throws(Refusal) {
    origin = message.origin
    interface = message.interface
    guard let link = links.first(where: { $0.name == message.interface }) else {
      throw Refusal(origin.text, "no interface \(message.interface)", place: origin.place)
    }
    self.link = link.index
    shape = TrafficShape(
      rate: DataRate(bitsPerSecond: message.rate), burst: message.burst == 0 ? nil : message.burst,
      limit: message.limit == 0 ? nil : message.limit, marksCongestion: message.ecn,
      classes: message.classes.map { one in
        TrafficShape.Class(
          one.name, rate: DataRate(bitsPerSecond: one.rate),
          ceil: one.ceil == 0 ? nil : DataRate(bitsPerSecond: one.ceil), priority: one.priority,
          limit: one.limit == 0 ? nil : one.limit)
      })
    do throws(TrafficShapeError) {
      plan = try shape.plan(on: link.index, mtu: link.mtu)
    } catch {
      throw Refusal(origin.text, error.description, place: origin.place)
    }
  }

  /// What people call a class.
  func name(of handle: TrafficHandle) -> String {
    if handle == TrafficShape.unclassified { return "default" }
    return shape.handles.first { $0.value == handle }?.key ?? ""
  }
}

extension RuleBook {
  /// The priority that leads a packet into its class. The first class whose match holds takes it.
  mutating func add(classesOf shaper: NLShaper, _ interfaces: Set<String>) throws(Refusal) {
    for (place, one) in shaper.classes.enumerated() {
      var match = one.match
      match.out = [shaper.interface]
      let origin = one.hasOrigin ? one.origin : shaper.origin
      let context = ConditionContext(origin: origin, interfaces: interfaces)
      let handle = TrafficShape.handle(ofClassAt: place).rawValue
      for alternative in try CheckedMatch(match, context).alternatives {
        add(alternative.matches, [.counter, .setPriority(handle), .accept], to: .classify, origin)
      }
    }
  }

  mutating func add(_ marking: NLMarking, _ interfaces: Set<String>) throws(Refusal) {
    var context = ConditionContext(origin: marking.origin, interfaces: interfaces)
    context.splitsFamilies = true
    guard let codePoint = UInt8(exactly: marking.dscp), codePoint < 64 else {
      throw context.refusal("no such DSCP: \(marking.dscp)")
    }
    var match = marking.match
    if !marking.interface.isEmpty { match.out = [marking.interface] }
    for one in try CheckedMatch(match, context).alternatives {
      guard let family = one.family else { continue }
      add(one.matches, [.counter, .setDSCP(codePoint, family), .accept], to: .mark, marking.origin)
    }
  }

  /// Elements of a dynamic set live this long without a packet.
  private static let flowTimeout: UInt64 = 60_000
  /// Most sources or flows of one policer and family. Beyond it the kernel adds none, and their packets pass.
  private static let mostFlows: UInt32 = 65_535
  static let overRate = ", over the rate"

  /// A chain of its own: the first rule counts what it is about, the others drop what is over the rate and count that.
  /// - Parameter place: among the policers of its interface.
  mutating func add(_ policer: NLPolicer, at place: Int, _ interfaces: Set<String>) throws(Refusal) {
    var context = ConditionContext(origin: policer.origin, interfaces: interfaces)
    var match = policer.match
    match.in = [policer.interface]
    let limit = try Self.limit(policer, context)
    let branch = "police-\(policer.interface)-\(place)"
    var rules = [Nftables.Rule([], [.counter], comment: policer.origin.text)]
    let comment = Nftables.Rule.comment(policer.origin.text, endingWith: Self.overRate)
    switch policer.per {
    case .all:
      rules.append(Nftables.Rule([.limit(limit)], [.counter, .drop], comment: comment))
    case .source, .flow:
      for family in try CheckedMatch(match, context).families {
        for (set, action, conditions) in Self.meters(policer, branch, family, limit) {
          add(set)
          rules.append(Nftables.Rule(conditions, [action, .counter, .drop], comment: comment))
        }
      }
    case .UNRECOGNIZED: throw context.refusal("per what?")
    }
    addBranch(branch, rules, policer.origin)
    context.splitsFamilies = false
    for one in try CheckedMatch(match, context).alternatives {
      add(one.matches, [.goto(branch)], to: .police, policer.origin)
    }
  }

  private static func limit(_ policer: NLPolicer, _ context: ConditionContext) throws(Refusal) -> Expression.Limit {
    if policer.packets > 0 {
      let burst = policer.burst > 0 ? policer.burst : UInt32(clamping: max(5, policer.packets / 10))
      return Expression.Limit(policer.packets, .packets, burst: burst, isOver: true)
    }
    let rate = DataRate(bitsPerSecond: policer.rate)
    guard rate.bytesPerSecond > 0 else { throw context.refusal("the rate is below 8 bit/s") }
    let burst = policer.burst > 0 ? policer.burst : ShapingDefaults.policingBurst(rate: rate)
    return Expression.Limit(rate.bytesPerSecond, .bytes, burst: burst, isOver: true)
  }

  /// An element keeps the limit it was made with: another limit is another set.
  private static func meters(
    _ policer: NLPolicer, _ branch: String, _ family: AddressFamily, _ limit: Expression.Limit
  ) -> [(NamedSet, Action, [Match])] {
    let version = "\(limit.rate)\(limit.measure == .packets ? "p" : "b")-\(limit.burst)"
    let number = family == .ipv4 ? "4" : "6"
    guard policer.per == .flow else {
      let name = "\(branch)-\(version)-source\(number)"
      let shape = SetShape([.address(family)], isDynamic: true, timeout: flowTimeout, size: mostFlows)
      return [(NamedSet(name, shape), .update(name, withSourceOf: family, [.limit(limit)]), [])]
    }
    let withPorts = Match.transportProtocol(anyOf: [.tcp, .udp])
    return [true, false].map { ports in
      let name = "\(branch)-\(version)-\(ports ? "flow" : "pair")\(number)"
      let shape = SetShape.flow(family, ports: ports, timeout: flowTimeout, size: mostFlows)
      let action = Action.update(name, withFlowOf: family, ports: ports, [.limit(limit)])
      return (NamedSet(name, shape), action, ports ? [] : [.family(family), !withPorts])
    }
  }
}

extension Nftables.Rule {
  /// Cut in front of its ending, so that the ending is read whatever the kernel keeps.
  static func comment(_ text: String, endingWith ending: String) -> String {
    var text = text
    while Nftables.Rule([], comment: text + ending).comment != text + ending, !text.isEmpty { text.removeLast() }
    return text + ending
  }
}
