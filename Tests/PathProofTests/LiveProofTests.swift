import Capture
import NetTypes
import Testing

@testable import PathProof

/// a - r - b, where frames are made by hand.
///
///   a:eth1 (10.0.1.1) ── r:eth0 (10.0.1.2)   r:eth1 (10.0.2.1) ── b:eth1 (10.0.2.2)
@Suite("Live flows, from packets made by hand")
struct LiveProofTests {
  private static let places = [
    InterfacePlace("a", "eth1"), InterfacePlace("r", "eth0"), InterfacePlace("r", "eth1"), InterfacePlace("b", "eth1"),
  ]
  private static let window: ClosedRange<UInt64> = 1_000_000_000...5_000_000_000
  private static let middle: UInt64 = 3_000_000_000

  private static func mac(_ interface: Int) -> MACAddress { MACAddress(rawValue: 0x0200_0000_0001 + UInt64(interface)) }

  private func graph(_ coverage: [Int: Coverage] = [:]) throws -> LabGraph {
    let address = { (text: String) in try #require(IPAddress(text)) }
    return LabGraph(
      interfaces: Self.places.indices.map {
        ObservedInterface(Self.places[$0], mac: Self.mac($0), coverage: coverage[$0] ?? .captured)
      },
      nodes: [
        LabNode(name: "a", addresses: [try address("10.0.1.1")]),
        LabNode(name: "r", addresses: [try address("10.0.1.2"), try address("10.0.2.1")]),
        LabNode(name: "b", addresses: [try address("10.0.2.2")]),
      ], links: [(Self.places[0], Self.places[1]), (Self.places[2], Self.places[3])])
  }

  /// A segment as RFC 791 and RFC 9293 lay it out, or a datagram of RFC 768.
  private struct Made {
    var source: [UInt8] = [10, 0, 1, 1]
    var destination: [UInt8] = [10, 0, 2, 2]
    var ports: (UInt16, UInt16) = (40_000, 80)
    var sequence: UInt32 = 1000
    var acknowledgment: UInt32 = 7000
    var flags: UInt8 = 0x10
    var data: [UInt8] = []
    var isDatagram = false

    private func words(_ values: [UInt16]) -> [UInt8] { values.flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] } }

    func frame(_ from: Int, _ to: Int, ttl: UInt8) -> [UInt8] {
      let transport =
        isDatagram
        ? words([ports.0, ports.1, UInt16(8 + data.count), 0])
        : words([ports.0, ports.1])
          + [sequence, acknowledgment].flatMap { words([UInt16($0 >> 16), UInt16($0 & 65535)]) }
          + [0x50, flags] + words([1000, 0, 0])
      let length = UInt16(20 + transport.count + data.count)
      return LiveProofTests.mac(to).octets + LiveProofTests.mac(from).octets + [8, 0] + [0x45, 0]
        + words([length, 0, 0])
        + [ttl, isDatagram ? 17 : 6, 0, 0] + source + destination + transport + data
    }
  }

  /// The table's interfaces see frames; `at` is when, µs after the middle of the window.
  private struct Lab {
    var table = LiveFlowTable(addresses: LiveProofTests.places.indices.map(LiveProofTests.mac), limit: 100)

    mutating func see(_ frame: [UInt8], on interface: Int, at: Int) {
      frame.withUnsafeBytes {
        table.take(
          $0, wireLength: frame.count, interface: interface, time: UInt64(Int(LiveProofTests.middle) + at * 1000))
      }
    }

    /// From a to b.
    mutating func there(_ made: Made, at: Int, ttl: UInt8 = 64, skip: Set<Int> = []) {
      cross(made, made, [0, 1, 2, 3], at, ttl, skip)
    }

    /// From b to a.
    mutating func back(_ made: Made, at: Int, ttl: UInt8 = 64, skip: Set<Int> = []) {
      cross(made, made, [3, 2, 1, 0], at, ttl, skip)
    }

    mutating func cross(
      _ before: Made, _ after: Made, _ interfaces: [Int], _ at: Int, _ ttl: UInt8 = 64, _ skip: Set<Int> = []
    ) {
      for (step, interface) in interfaces.enumerated() where !skip.contains(interface) {
        let (from, to) = step < 2 ? (interfaces[0], interfaces[1]) : (interfaces[2], interfaces[3])
        see((step < 2 ? before : after).frame(from, to, ttl: step < 2 ? ttl : ttl - 1), on: interface, at: at + step)
      }
    }
  }

  private func prove(_ lab: Lab, _ coverage: [Int: Coverage] = [:]) throws -> [LiveFlow] {
    LiveProver.prove(lab.table, try graph(coverage), window: Self.window)
  }

  private var answer: Made {
    Made(source: [10, 0, 2, 2], destination: [10, 0, 1, 1], ports: (80, 40_000), sequence: 7000, acknowledgment: 1001)
  }

  @Test("a segment and its answer, seen on every interface, are one symmetric flow of the side that sent the SYN")
  func symmetric() throws {
    var lab = Lab()
    var second = answer
    second.flags = 0x12
    lab.there(Made(flags: 0x02), at: 0)
    lab.back(second, at: 100)
    let flow = try #require(try prove(lab).first)
    #expect(flow.symmetric == .yes && flow.undecidedBecause == nil)
    #expect(flow.client.description == "10.0.1.1:40000" && flow.server.description == "10.0.2.2:80")
    #expect(flow.forward.path == ["a", "r", "b"] && flow.back.path == ["b", "r", "a"])
    #expect(flow.forward.hops[1].microseconds == 1 && flow.forward.hops[1].inbound == "eth0")
    #expect(flow.forwardBytes == 54 && flow.backBytes == 54)
  }

  @Test("an aggregate that is cut on its way is followed piece by piece")
  func segmentation() throws {
    var lab = Lab()
    let whole = Made(data: Array(repeating: 1, count: 300))
    for interface in [0, 1] { lab.see(whole.frame(0, 1, ttl: 64), on: interface, at: interface) }
    for piece in 0..<3 {
      let part = Made(sequence: 1000 + UInt32(100 * piece), data: Array(repeating: 1, count: 100))
      for interface in [2, 3] { lab.see(part.frame(2, 3, ttl: 63), on: interface, at: 10 + 10 * piece + interface) }
    }
    let flow = try #require(try prove(lab).first)
    #expect(flow.symmetric == .notApplicable && flow.undecidedBecause == nil, "\(flow)")
    #expect(flow.forward.path == ["a", "r", "b"] && flow.forward.lost == 0)
  }

  @Test("a packet that appears in the middle makes its flow undecided, and so does what the captures lost on its way")
  func undecided() throws {
    var lab = Lab()
    lab.there(Made(), at: 0)
    lab.back(answer, at: 100)
    #expect(try prove(lab).first?.symmetric == .yes)
    #expect(try prove(lab, [1: .dropped(3)]).first?.undecidedBecause == "3 packets on r:eth0 were lost by the capture")
    #expect(try prove(lab, [2: .failed("no")]).first?.symmetric == .undecided)
    var hidden = answer
    hidden.sequence += 1
    lab.back(hidden, at: 200, skip: [3, 2])
    let flow = try #require(try prove(lab).first)
    #expect(flow.symmetric == .undecided)
    #expect(flow.undecidedBecause?.contains("r sent from 10.0.2.2:80, which is not its own") == true, "\(flow)")
  }

  @Test("what ends on its way is lost there; what was under way at the window's edges says nothing")
  func lost() throws {
    var lab = Lab()
    lab.there(Made(), at: 0)
    lab.there(Made(sequence: 1001), at: 100, skip: [3])
    lab.there(Made(sequence: 1002), at: 1_999_000, skip: [2, 3])
    lab.there(Made(sequence: 1003), at: -1_999_000, skip: [0, 1])
    let flow = try #require(try prove(lab).first)
    #expect(flow.undecidedBecause == nil && flow.forward.packets == 2 && flow.forward.lost == 1, "\(flow)")
    #expect(flow.forward.lastSeen == Self.places[2])
  }

  @Test("a translated flow is one, joined by what it carries, unless two fit")
  func translated() throws {
    var lab = Lab()
    let masked = { (port: UInt16, data: [UInt8]) in
      Made(source: [10, 0, 2, 1], ports: (port, 53), data: data, isDatagram: true)
    }
    lab.cross(
      Made(ports: (40_000, 53), data: [1, 2, 3], isDatagram: true), masked(50_000, [1, 2, 3]), [0, 1, 2, 3], 0)
    var flows = try prove(lab)
    #expect(
      flows.count == 1 && flows[0].forward.path == ["a", "r", "b"] && flows[0].undecidedBecause == nil, "\(flows)")
    #expect(flows[0].forward.hops[1].nat?.source?.to.description == "10.0.2.1:50000")
    // The same content at the same moment by another port: whose is whose?
    lab.cross(
      Made(ports: (40_001, 53), data: [1, 2, 3], isDatagram: true), masked(50_001, [1, 2, 3]), [0, 1, 2, 3], 1)
    flows = try prove(lab)
    #expect(flows.count == 4)
    #expect(flows.allSatisfy { $0.undecidedBecause?.contains("several translations at r fit") == true }, "\(flows)")
  }

  @Test("what was inside a translating router at the window's edges did not begin or end there")
  func translatedAtTheEdges() throws {
    var lab = Lab()
    let asked = Made(ports: (40_000, 80), flags: 0x02)
    var masked = asked
    masked.source = [10, 0, 2, 1]
    var told = answer
    told.destination = [10, 0, 2, 1]
    lab.cross(asked, masked, [0, 1, 2, 3], 0)
    lab.cross(told, answer, [3, 2, 1, 0], 100)
    func numbered(_ made: Made, _ number: UInt32) -> Made {
      var made = made
      made.sequence += number
      return made
    }
    // At the beginning it had left a already; at the end it was on its way to a.
    lab.cross(numbered(asked, 1), numbered(masked, 1), [0, 1, 2, 3], -1_999_999, 64, [0, 1])
    lab.cross(numbered(told, 1), numbered(answer, 1), [3, 2, 1, 0], 1_999_990, 64, [1, 0])
    // Those that are whole count there too.
    lab.cross(numbered(asked, 2), numbered(masked, 2), [0, 1, 2, 3], -1_999_900)
    lab.cross(numbered(told, 2), numbered(answer, 2), [3, 2, 1, 0], 1_999_900)
    let flow = try #require(try prove(lab).first)
    #expect(flow.symmetric == .yes && flow.undecidedBecause == nil, "\(flow)")
    #expect(flow.forward.packets == 2 && flow.back.packets == 2 && flow.forward.lost == 0, "\(flow)")
    // In the middle, b's answer to r itself is one.
    lab.cross(numbered(told, 3), numbered(answer, 3), [3, 2, 1, 0], 200, 64, [1, 0])
    #expect(try prove(lab).first?.undecidedBecause == "packets of one direction took several paths")
  }

  @Test("whatever passes, the table keeps a bounded part of it, the same on every interface")
  func bounded() throws {
    var lab = Lab()
    for number in 0..<5000 {
      lab.there(
        Made(sequence: UInt32(1000 + 100 * number), data: Array(repeating: 1, count: 100)), at: 10 * number - 100_000)
      lab.there(
        Made(ports: (9, 9), data: (0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }, isDatagram: true),
        at: 10 * number - 100_000)
    }
    let kept = lab.table.entries.values.flatMap(\.ways).map(\.records.count)
    #expect(kept.max().map { $0 <= 2048 && $0 > 64 } == true, "\(kept)")
    #expect(lab.table.captured == 40_000)
    for flow in try prove(lab) {
      #expect(flow.forward.path == ["a", "r", "b"] || flow.back.path == ["a", "r", "b"], "\(flow)")
      #expect(flow.undecidedBecause == nil && flow.forward.lost + flow.back.lost == 0, "\(flow)")
      #expect(max(flow.forwardBytes, flow.backBytes) == UInt64(5000 * (flow.proto == 6 ? 154 : 50)))
    }
  }

  @Test("what a level keeps, the levels below keep too, however segments are cut")
  func levels() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<2000 {
      let sequence = UInt32.random(in: 0...UInt32.max, using: &generator)
      let span = UInt32.random(in: 1...65_000, using: &generator)
      for level in UInt8(1)...8 {
        let keeps = { (sequence: UInt32, span: UInt32, level: UInt8) in
          LiveRecord.keeps(.segment(sequence: sequence, span: span, acknowledgment: 1, flags: 16), level)
        }
        if keeps(sequence, span, level) { #expect(keeps(sequence, span, level - 1)) }
        let cut = UInt32.random(in: 0..<span, using: &generator)
        let parts = [keeps(sequence, cut, level), keeps(sequence &+ cut, span - cut, level)]
        #expect(cut == 0 || parts.contains(true) == keeps(sequence, span, level), "\(sequence) \(span) \(cut) \(level)")
      }
    }
  }

  @Test("errors, groups and ARP belong to no flow")
  func others() throws {
    var lab = Lab()
    lab.see(
      [255, 255, 255, 255, 255, 255] + Self.mac(0).octets + [8, 6] + Array(repeating: 0, count: 28), on: 0, at: 0)
    lab.see(Made(destination: [224, 0, 0, 5]).frame(0, 1, ttl: 1), on: 0, at: 1)
    lab.see([1, 2, 3], on: 0, at: 2)
    #expect(lab.table.captured == 3 && lab.table.notOurs == 3)
    #expect(try prove(lab).isEmpty)
  }
}

extension MACAddress {
  fileprivate var octets: [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: rawValue >> UInt64(40 - 8 * $0)) } }
}
