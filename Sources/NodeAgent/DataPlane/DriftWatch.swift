internal import ControlProtocol
internal import EventLoop
internal import NetTypes
internal import Netlink

/// Watches whether the kernel still holds what is desired. The kernel tells that something changed; what differs is read
/// a moment later, once for all that changed meanwhile, and told when it is another than before.
final class DriftWatch {
  private unowned let node: Node
  private lazy var timer = LoopTimer(node.loop) { [weak self] in self?.tell() }
  private var told = NLDriftReport()
  /// Routes of table main that whoever set the node up added (`exec` lines of the file): nil until that is over.
  private var baseline: Set<IPPrefix>?
  private var setUp: SetUpRecord?

  /// How long changes are gathered before they are looked at.
  private static let delay = EventLoop.milliseconds(50)
  init(_ node: Node) { self.node = node }

  /// - Parameter setUp: says when the `exec` lines of the file have ended; nil: there are none, and what stands now
  ///   belongs to the node.
  func start(_ setUp: SetUpRecord?) {
    self.setUp = setUp
    setUpMayBeOver()
  }

  /// Takes the baseline once there is one to take.
  func setUpMayBeOver() {
    guard baseline == nil, let dataPlane = node.dataPlane, setUp?.isOver ?? true else { return }
    let view = dataPlane.view
    let taken: Baseline
    do {
      if let known = setUp?.read() {
        taken = Baseline(known, view.links.values)
      } else {
        // Not the links: what the monitor tells of them is yet to be acted upon.
        try view.readAddresses()
        try view.readRoutes()
        taken = Baseline(routes: Set(addedByHand().map(\.destination)), addresses: dataPlane.standingAddresses())
        try setUp?.write(taken.message(view.links.values))
      }
    } catch {
      return node.report("error", "drift", "what the node was set up with cannot be kept: \(error)")
    }
    baseline = taken.routes
    dataPlane.setAddressBaseline(taken.addresses)
    look()
  }

  /// Something may differ.
  func look() {
    guard node.dataPlane != nil, !timer.isArmed else { return }
    timer.arm(after: Self.delay)
  }

  private func tell() {
    // What an earlier agent left is no drift while nobody has said what is desired.
    guard let dataPlane = node.dataPlane, dataPlane.message != nil else { return }
    let now = read()
    guard now != told else { return }
    note(now)
    node.onDrift(now)
  }

  /// The controller knows.
  func note(_ report: NLDriftReport) { told = report }

  /// For a controller that has just come and knows nothing.
  var last: NLDriftReport { told }

  func read() -> NLDriftReport {
    var report = NLDriftReport()
    guard let dataPlane = node.dataPlane else { return report }
    guard !dataPlane.isAdopted else {
      report.error = "this agent has just started and has not been told what is desired"
      return report
    }
    do throws(KernelError) {
      try dataPlane.drift(into: &report)
    } catch {
      report.error = error.description
    }
    compareRoutes(dataPlane.view, &report)
    return report
  }

  // MARK: Routes of table main

  /// Nobody's routing protocol, nor the kernel: somebody typed it.
  private func addedByHand() -> [Route] {
    (node.view?.routes ?? []).filter { $0.protocol == .boot && $0.kind != .local }
  }

  func excessRoutes(_ view: KernelView) -> [Route] {
    guard let baseline else { return [] }
    return addedByHand().filter { !baseline.contains($0.destination) }
  }

  private func compareRoutes(_ view: KernelView, _ report: inout NLDriftReport) {
    for route in node.reconciler.missing(view) { report.add(.missing, "route", "\(route.destination)") }
    for route in excessRoutes(view) { report.add(.excess, "route", "\(route.destination)") }
    var others: [UInt8: Int] = [:]
    let known: Set<RouteProtocol> = [.kernel, .boot, .static, .bgp, .netloomIGP]
    for route in view.routes where !known.contains(route.protocol) {
      others[route.protocol.rawValue, default: 0] += 1
    }
    for (number, count) in others.sorted(by: { $0.key < $1.key }) {
      report.addForeign("route", "\(count) of protocol \(RouteProtocol(rawValue: number).text)")
    }
  }
}

extension RouteProtocol {
  /// Names of iproute2's rt_protos.
  fileprivate var text: String {
    let names: [UInt8: String] = [
      9: "ra", 11: "zebra", 12: "bird", 13: "dnrouted", 14: "xorp", 16: "dhcp", 17: "mrouted", 42: "babel",
      84: "ovn", 187: "isis", 189: "rip", 192: "eigrp",
    ]
    return names[rawValue] ?? "\(rawValue)"
  }
}
