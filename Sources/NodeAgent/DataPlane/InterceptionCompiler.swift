// A pod's connections go through its sidecar: those that its programs open to the address of a service are handed to the
// sidecar's outbound port, those that come for a port of its service to the inbound port. SO_ORIGINAL_DST (conntrack)
// tells the sidecar where they were to go. Both chains see the first packet of a connection only and let alone what did
// not begin with a SYN under their eyes, so adding and removing the mesh resets nothing.
//
// With TPROXY what comes from outside is not translated: the sidecar's socket takes it with both addresses as they came.
// Its connection to the program bears the client's address, so the program's answers are for somebody else: the mark of
// the connection's first packet goes over to them (`tcp_fwmark_accept`), and leads them back to the sidecar.

internal import ControlProtocol
internal import NetTypes
internal import Netlink
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
    let own = [interception.mark, interception.transparentMark].filter { $0 != 0 }.map { !Match.mark($0) }
    for service in interception.services {
      guard let address = IPAddress(service.address) else {
        throw Refusal(origin.text, "a service without an address", place: origin.place)
      }
      add(
        [.destination(address), .transportProtocol(.tcp), .destinationPort(try port(service.port))] + own,
        [.counter, .redirect(toPorts: out...out)], to: .localDstnat, origin)
    }
    guard !interception.ports.isEmpty else { return }
    var ports: [ClosedRange<UInt16>] = []
    for number in interception.ports {
      let port = try port(number)
      ports.append(port...port)
    }
    let forService: [Match] = [
      .transportProtocol(.tcp), ports.count == 1 ? .destinationPort(ports[0]) : .destinationPort(anyOf: ports),
    ]
    guard interception.transparentMark != 0, let loopback = InterfaceName("lo") else {
      return add(forService, [.counter, .redirect(toPorts: incoming...incoming)], to: .dstnat, origin)
    }
    // A packet of a connection that a program accepted itself finds the program's socket, which is not transparent: the
    // rule does not apply to it (nft_tproxy_eval_v4 of the kernel's net/netfilter/nft_tproxy.c).
    let fromOutside = [!.interfaceIn(loopback)] + forService
    add(fromOutside, [.counter, .transparentProxy(to: incoming), .accept], to: .returns, origin)
    // Nobody took it: the sidecar is away, and what it guards is closed.
    add(
      fromOutside + [.tcpFlags(.syn, of: [.fin, .syn, .reset, .acknowledge])], [.counter, .rejectByReset], to: .returns,
      origin)
  }
}

extension PolicyPaths {
  /// What bears the mark of a transparent sidecar is this node's own.
  mutating func add(_ interception: NLInterception, _ links: some Collection<Link>) throws(Refusal) {
    guard interception.transparentMark != 0 else { return }
    guard let loopback = links.first(where: { $0.name == "lo" }) else {
      throw Refusal(interception.origin.text, "no interface lo", place: interception.origin.place)
    }
    let hop = Route.Hop(nil, link: loopback.index)
    addMarked(
      .local, 0, interception.transparentMark, [.ipv4: [hop], .ipv6: [hop]], interception.origin, kind: .local)
  }
}
