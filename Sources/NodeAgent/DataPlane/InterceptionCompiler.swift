// A pod's connections go through its sidecar: those that its programs open to the address of a service are handed to the
// sidecar's outbound port, those that come for a port of its service to the inbound port. SO_ORIGINAL_DST (conntrack)
// tells the sidecar where they were to go. Both chains see the first packet of a connection only and let alone what did
// not begin with a SYN under their eyes, so adding and removing the mesh resets nothing.

internal import ControlProtocol
internal import NetTypes
internal import Nftables

extension RuleBook {
  mutating func add(_ interception: NLInterception) throws(Refusal) {
    let origin = interception.origin
    func port(_ number: UInt32) throws(Refusal) -> UInt16 {
      guard let port = UInt16(exactly: number), port > 0 else {
        throw Refusal(origin.text, "\(number) is no port", place: origin.place)
      }
      return port
    }
    guard interception.mark != 0 else {
      throw Refusal(origin.text, "the sidecar's own connections bear no mark", place: origin.place)
    }
    let (out, incoming) = (try port(interception.outboundPort), try port(interception.inboundPort))
    for service in interception.services {
      guard let address = IPAddress(service.address) else {
        throw Refusal(origin.text, "a service without an address", place: origin.place)
      }
      add(
        [
          .destination(address), .transportProtocol(.tcp), .destinationPort(try port(service.port)),
          !.mark(interception.mark),
        ], [.counter, .redirect(toPorts: out...out)], to: .localDstnat, origin)
    }
    guard !interception.ports.isEmpty else { return }
    var ports: [ClosedRange<UInt16>] = []
    for number in interception.ports {
      let port = try port(number)
      ports.append(port...port)
    }
    add(
      [.transportProtocol(.tcp), ports.count == 1 ? .destinationPort(ports[0]) : .destinationPort(anyOf: ports)],
      [.counter, .redirect(toPorts: incoming...incoming)], to: .dstnat, origin)
  }
}
