// The node's addresses: netloom-machine gives them when it makes the links; from then on they are part of what is
// desired, so one that somebody took away is put back, and one that nobody planned is too much.

internal import ControlProtocol
internal import NetTypes
internal import Netlink

extension DataPlane {
  /// Planned ones on interfaces that exist.
  private func plannedAddresses(_ program: DataPlaneProgram) -> Set<PlacedAddress> {
    var planned: Set<PlacedAddress> = []
    for entry in program.addresses {
      guard let link = view.link(named: entry.interface) else { continue }
      for prefix in entry.addresses {
        guard let address = IPAddress(prefix.address).flatMap({ InterfaceAddress($0, length: Int(prefix.length)) })
        else { continue }
        planned.insert(PlacedAddress(link: link.index, address: address))
      }
    }
    return planned
  }

  /// Addresses that could be planned: no protocol gives them. On loopback and the interfaces that the plan names.
  private func plannableAddresses() -> Set<PlacedAddress> {
    let named = Set(program.addresses.compactMap { view.link(named: $0.interface)?.index })
    var found: Set<PlacedAddress> = []
    for (link, addresses) in view.addresses where named.contains(link) || view.links[link]?.isLoopback == true {
      for address in addresses where !address.address.isLinkLocal && !address.address.isLoopback {
        found.insert(PlacedAddress(link: link, address: address))
      }
    }
    return found.subtracting(view.temporaryAddresses)
  }

  /// What was added since the node was set up and is not planned. Nothing where no address was ever spoken of.
  func excessAddresses() -> [PlacedAddress] {
    guard let baseline = addressBaseline, !program.addresses.isEmpty else { return [] }
    return inOrder(plannableAddresses().subtracting(plannedAddresses(program)).subtracting(baseline))
  }

  func standingAddresses() -> Set<PlacedAddress> {
    Set(view.addresses.flatMap { link, all in all.map { PlacedAddress(link: link, address: $0) } })
  }

  private func missingAddresses(_ program: DataPlaneProgram) -> [PlacedAddress] {
    inOrder(plannedAddresses(program).subtracting(standingAddresses()))
  }

  private func inOrder(_ addresses: Set<PlacedAddress>) -> [PlacedAddress] {
    addresses.sorted { ($0.link.rawValue, $0.address.address) < ($1.link.rawValue, $1.address.address) }
  }

  private func text(_ place: PlacedAddress) -> String {
    "\(place.address.address)/\(place.address.length) of \(view.links[place.link]?.name ?? "?")"
  }

  func compareAddresses(_ report: inout NLDriftReport) throws(KernelError) {
    try view.readAddresses()
    for entry in program.addresses where view.link(named: entry.interface) == nil {
      report.add(.missing, "address", "interface \(entry.interface)")
    }
    for place in missingAddresses(program) { report.add(.missing, "address", text(place)) }
    for place in excessAddresses() { report.add(.excess, "address", text(place)) }
  }

  /// Puts back what is missing. What the kernel refuses (an interface without IPv6) stays drift: it is no reason to
  /// refuse everything else.
  /// - Returns: why some could not be put back.
  @discardableResult
  func write(addresses program: DataPlaneProgram) throws(Refusal) -> [String] {
    guard !program.addresses.isEmpty else { return [] }
    do throws(KernelError) {
      try view.readAddresses()
      let missing = missingAddresses(program)
      guard !missing.isEmpty else { return [] }
      var batch = MessageBatch()
      for place in missing { batch.addAddress(place.address, to: place.link) }
      let refusals = try view.socket.commitReportingEach(&batch)
      try view.readAddresses()
      return refusals.map { refusal in
        let place = refusal.message.map { "address \(text(missing[$0])): " } ?? ""
        return place + refusal.description
      }
    } catch {
      throw Refusal("addresses", error.description)
    }
  }
}
