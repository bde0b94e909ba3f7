internal import ControlProtocol
internal import FIB
internal import Netlink

extension Node {
  /// Makes the data plane what the message says; on a refusal it stays what it was.
  func apply(_ message: NLDataPlane) throws(Refusal) {
    guard let dataPlane else { return try refuse(message) }
    kernelChanged()
    let addresses = view?.addresses
    try dataPlane.apply(message)
    if view?.addresses != addresses { readRoutes() }
    driftWatch.look()
    onChange(false)
  }

  /// Whether `apply` would take it: the kernel is asked, and nothing is changed.
  func check(_ message: NLDataPlane) throws(Refusal) {
    guard let dataPlane else { return try refuse(message) }
    kernelChanged()
    try dataPlane.check(try dataPlane.compile(message))
  }

  /// Nothing can be had without a data plane too, and what the machine has set already.
  private func refuse(_ message: NLDataPlane) throws(Refusal) {
    var rest = message
    rest.addresses = []
    rest.sysctlOrigins = [:]
    rest.sysctls = rest.sysctls.filter { name, value in
      guard let current = try? Sysctl.read(name, in: namespace) else { return true }
      return !DataPlane.same(current, value)
    }
    guard rest != NLDataPlane() else { return }
    throw Refusal("", noDataPlane)
  }

  /// The rules that FlowSpec asks for now: the chain `flowspec` holds them, in this order.
  func setFlowSpecs(_ contents: FlowSpecContents) throws(Refusal) {
    guard let dataPlane else { throw Refusal("", noDataPlane) }
    try dataPlane.setFlowSpecs(contents)
    driftWatch.look()
  }

  func tablesChanged() {
    guard let dataPlane else { return }
    do throws(KernelError) {
      if try dataPlane.tablesChanged() { driftWatch.look() }
    } catch {
      report("error", "nftables", error.description)
    }
  }

  func linksChanged() {
    do throws(Refusal) {
      try dataPlane?.linksChanged()
    } catch {
      report("route", error.offender, error.reason)
    }
  }

  /// Makes the kernel hold what is desired, and nothing else that could pass for it.
  /// - Returns: what is left.
  func repair() -> NLDriftReport {
    guard let dataPlane, !dataPlane.isAdopted else { return driftWatch.read() }
    kernelChanged()
    var failures: [String] = []
    // First what is too much: with an address that came to stand before ours, ours goes.
    do throws(KernelError) {
      try removeExcess(dataPlane)
    } catch {
      failures.append(error.description)
    }
    do throws(Refusal) {
      try dataPlane.reconcile(takesStrangers: true)
      failures += dataPlane.addressRefusals
    } catch {
      failures.append(error.description)
    }
    readRoutes()
    var left = driftWatch.read()
    if !failures.isEmpty { left.error = failures.joined(separator: "; ") }
    driftWatch.note(left)
    return left
  }

  private func removeExcess(_ dataPlane: DataPlane) throws(KernelError) {
    var batch = MessageBatch()
    let routes = driftWatch.excessRoutes(dataPlane.view)
    for route in routes { batch.deleteRoute(route) }
    for qdisc in try dataPlane.view.socket.qdiscs().map(\.subject) where qdisc.parent == .ingress {
      batch.deleteQdisc(on: qdisc.link, parent: .ingress)
    }
    for filter in try dataPlane.excessFilters() { batch.deleteFilter(filter) }
    for place in dataPlane.excessAddresses() { batch.deleteAddress(place.address, from: place.link) }
    guard !batch.isEmpty else { return }
    let refusals = try dataPlane.view.socket.commitReportingEach(&batch)
    // One of them may have stood where a route of BGP belongs.
    fib?.routesLost(routes.map(\.destination))
    for refusal in refusals where !refusal.isNotThere { throw refusal }
  }
}
