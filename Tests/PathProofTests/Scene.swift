import NetTypes
import PathProof

/// A lab on paper whose packets are written down by hand: `frame` builds the bytes, `see` puts them before an interface.
///
/// Every interface NODE:IFACE gets a MAC from its index; every node the address 10.0.0.N and fd00::N.
struct Scene {
  enum Body {
    case echo(type: UInt8, nonce: [UInt8])
    case udp(nonce: [UInt8], way: Way)
    case tcp(seq: UInt32, ack: UInt32, flags: UInt8, length: Int)
    case raw(proto: UInt8, [UInt8])
  }

  var names: [String] = []
  var places: [InterfacePlace] = []
  var links: [(InterfacePlace, InterfacePlace)] = []
  var coverage: [InterfacePlace: Coverage] = [:]
  var switches: Set<String> = []
  var observations: [Observation] = []
  /// Microseconds; each sighting takes one.
  var clock: UInt64 = 1000

  /// Links as "a:eth1-b:eth2".
  init(_ links: String..., switches: Set<String> = []) {
    self.switches = switches
    for link in links {
      let ends = link.split(separator: "-").map { end in
        let parts = end.split(separator: ":")
        return InterfacePlace(String(parts[0]), String(parts[1]))
      }
      self.links.append((ends[0], ends[1]))
      for end in ends {
        places.append(end)
        if !names.contains(end.node) { names.append(end.node) }
      }
    }
  }

  func index(_ place: String) -> Int { places.firstIndex { $0.description == place } ?? -1 }
  func mac(_ place: String) -> MACAddress { MACAddress(rawValue: 0x0200_0000_0000 + UInt64(index(place))) }
  func address(_ node: String) -> IPv4Address { IPv4Address(10, 0, 0, UInt8((names.firstIndex(of: node) ?? -1) + 1)) }

  var graph: LabGraph {
    LabGraph(
      interfaces: places.map {
        ObservedInterface($0, mac: mac($0.description), coverage: coverage[$0] ?? .captured)
      },
      nodes: names.map { LabNode(name: $0, isSwitch: switches.contains($0), addresses: [.v4(address($0))]) },
      links: links)
  }

  static func bytes(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
  static func bytes(_ value: UInt16) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

  static func ip(
    _ body: Body, _ source: IPv4Address, _ destination: IPv4Address, ttl: UInt8, sourcePort: UInt16,
    destinationPort: UInt16
  ) -> (bytes: [UInt8], wire: Int) {
    let proto: UInt8
    let payload: [UInt8]
    var extra = 0
    switch body {
    case .echo(let type, let nonce): (proto, payload) = (1, [type, 0, 0, 0, 0, 1, 0, 1] + nonce)
    case .udp(let nonce, let way):
      (proto, payload) = (
        17, bytes(sourcePort) + bytes(destinationPort) + bytes(UInt16(25)) + [0, 0] + nonce + [way.rawValue]
      )
    case .tcp(let seq, let ack, let flags, let length):
      proto = 6
      payload = bytes(sourcePort) + bytes(destinationPort) + bytes(seq) + bytes(ack) + [0x50, flags, 1, 0, 0, 0, 0, 0]
      extra = length
    case .raw(let number, let data): (proto, payload) = (number, data)
    }
    let total = 20 + payload.count + extra
    let header: [UInt8] = [0x45, 0] + bytes(UInt16(total)) + [0, 0, 0, 0, ttl, proto, 0, 0]
    return (header + source.bytes + destination.bytes + payload, total)
  }

  /// One frame from one interface to another, seen on `on`.
  mutating func see(
    _ on: String, from: String, to: String, _ body: Body, _ source: IPv4Address, _ destination: IPv4Address, ttl: UInt8,
    sourcePort: UInt16 = 40000, destinationPort: UInt16 = 80
  ) {
    clock += 1
    let packet = Scene.ip(
      body, source, destination, ttl: ttl, sourcePort: sourcePort, destinationPort: destinationPort)
    let frame = mac(to).bytes + mac(from).bytes + [8, 0] + packet.bytes
    if let one = Observation(interface: index(on), time: clock * 1000, frame: frame, wireLength: packet.wire + 14) {
      observations.append(one)
    }
  }

  /// A packet over whole links, "a:eth1>b:eth1", each seen at both ends, one TTL less per link.
  mutating func travel(
    _ links: [String], _ body: Body, _ source: IPv4Address, _ destination: IPv4Address, ttl: UInt8 = 64,
    sourcePort: UInt16 = 40000, destinationPort: UInt16 = 80
  ) {
    for (step, link) in links.enumerated() {
      let ends = link.split(separator: ">").map(String.init)
      for end in ends {
        see(
          end, from: ends[0], to: ends[1], body, source, destination, ttl: ttl - UInt8(step), sourcePort: sourcePort,
          destinationPort: destinationPort)
      }
    }
  }

  func prove(_ flow: TracedFlow) -> Proof { Prover.prove(flow, observations, graph) }

  static func nonce(_ number: UInt8) -> [UInt8] { [UInt8](repeating: 0xA5, count: 15) + [number] }
}
