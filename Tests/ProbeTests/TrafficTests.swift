import ControlProtocol
import Foundation
import NetTypes
import Probe
import Synchronization
import Testing

/// Background load whose last account can be waited for.
final class RunningTraffic: Sendable {
  private let engine: TrafficEngine
  private let id: UInt64
  private let last = Mutex<NLTrafficReply?>(nil)
  private let pushed = Mutex<[NLTrafficReply]>([])
  private let ended = DispatchSemaphore(value: 0)
  private let told = DispatchSemaphore(value: 0)

  init(_ engine: TrafficEngine, _ request: NLTrafficRequest) {
    self.engine = engine
    id = request.id
    engine.start(request) { reply in
      if reply.running {
        self.pushed.withLock { $0.append(reply) }
        self.told.signal()
      } else {
        self.last.withLock { $0 = reply }
        self.ended.signal()
      }
    }
  }

  /// The first account while it runs.
  func account() throws -> NLTrafficReply {
    try #require(told.wait(timeout: .now() + 60) == .success)
    return try #require(pushed.withLock { $0.first })
  }

  func stop() { engine.stop(id) }

  func result() throws -> NLTrafficReply {
    try #require(ended.wait(timeout: .now() + 60) == .success)
    return try #require(last.withLock { $0 })
  }
}

/// h1 - r1 - r2 - web.
extension NamespaceTests {
  @Suite struct TrafficTests {
    private let lab: NamespaceLab
    private let engine = TrafficEngine()

    init() throws {
      lab = try NamespaceLab(["h1:eth1-r1:eth0", "r1:eth1-r2:eth0", "r2:eth1-web:eth1"], hosts: ["h1", "web"])
      try lab.route("h1", via: "r1:eth0")
      try lab.route("r1", via: "r2:eth0")
      try lab.route("r2", via: "r1:eth1")
      try lab.route("web", via: "r2:eth1")
    }

    private func request(
      _ id: UInt64, _ proto: NLProtocol, milliseconds: UInt32, pps: UInt32 = 0, family: AddressFamily = .ipv4,
      to: String = "web", port: UInt32 = 0
    ) -> NLTrafficRequest {
      var request = NLTrafficRequest()
      request.flow = lab.request("h1", to, lab.address("web:eth1", family), proto, port: port)
      request.durationMs = milliseconds
      request.packetsPerSecond = pps
      request.id = id
      return request
    }

    private func run(_ request: NLTrafficRequest) throws -> NLTrafficReply {
      try RunningTraffic(engine, request).result()
    }

    /// Datagrams that web's kernel delivered.
    private func delivered() throws -> UInt64 {
      let text = try lab.run("web", "grep ^Udp: /proc/net/snmp | tail -1")
      return try #require(text.split(separator: " ").dropFirst().first.flatMap { UInt64($0) })
    }

    @Test(
      "every packet of an open way arrives once, as the receiver's kernel counts them",
      arguments: AddressFamily.allCases)
    func open(_ family: AddressFamily) throws {
      let before = try delivered()
      for (id, proto) in [NLProtocol.udp, .tcp, .icmp].enumerated() {
        let reply = try run(request(UInt64(id), proto, milliseconds: 300, pps: 500, family: family))
        let text = "\(proto) \(family) \(reply)"
        #expect(reply.error == "" && reply.reachable && !reply.running, "\(text)")
        #expect(reply.packetsSent > 0 && reply.packetsReceived == reply.packetsSent, "\(text)")
        #expect(reply.duplicates == 0 && reply.reordered == 0 && reply.outages.isEmpty, "\(text)")
        #expect(reply.bytes == 64 * reply.packetsReceived, "\(text)")
        #expect(reply.intervals.reduce(0) { $0 + $1.bytes } == reply.bytes, "\(text)")
        #expect(reply.delayMinMs > 0 && reply.delayMinMs <= reply.delayMedianMs, "\(text)")
        #expect(reply.delayMedianMs <= reply.delayP99Ms, "\(text)")
        if proto == .udp, family == .ipv4 { #expect(try delivered() - before == reply.packetsSent, "\(text)") }
      }
    }

    @Test("what a router drops is lost: the account equals the rule's counter")
    func loss() throws {
      try lab.run(
        "r1",
        "nft add table ip t; nft \"add chain ip t c { type filter hook forward priority 0; }\"; nft add rule ip t c udp dport 5202 numgen inc mod 4 0 counter drop"
      )
      let reply = try run(request(1, .udp, milliseconds: 300, pps: 1000))
      let listed = try lab.run("r1", "nft list chain ip t c")
      let words = listed.split(whereSeparator: \.isWhitespace)
      let dropped = try #require(words.firstIndex(of: "packets").flatMap { UInt64(words[$0 + 1]) })
      #expect(dropped > 0 && reply.packetsSent - reply.packetsReceived == dropped, "\(dropped) \(reply)")
      #expect(reply.intervals.reduce(0) { $0 + $1.lost } == dropped)
      // Each alone, but for the last, after which nothing may have come.
      #expect(reply.outages.reduce(0) { $0 + $1.lost } == min(dropped, 100))
    }

    private func now() -> UInt64 {
      var time = timespec()
      clock_gettime(CLOCK_REALTIME, &time)
      return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    @Test("an outage lasts from before a link went down to after it came up again")
    func outage() throws {
      let traffic = RunningTraffic(engine, request(1, .udp, milliseconds: 0, pps: 1000))
      let first = try traffic.account()
      #expect(first.running && first.id == 1 && first.packetsSent > 0 && first.reachable)
      let down = now()
      try lab.run("r2", "ip link set eth1 down")
      let isDown = now()
      try lab.run("r2", "ip -br link show")
      let up = now()
      try lab.run("r2", "ip link set eth1 up")
      _ = try traffic.account()
      traffic.stop()
      let reply = try traffic.result()
      let longest = try #require(reply.outages.first)
      #expect(longest.startNs <= isDown && longest.endNs >= up, "\(longest) \(down) \(isDown) \(up)")
      #expect(longest.endNs > down && longest.startNs + 2_000_000_000 > down)
      #expect(reply.packetsSent - reply.packetsReceived == reply.outages.reduce(0) { $0 + $1.lost }, "\(reply)")
    }

    @Test("several streams share one thread and keep their accounts apart")
    func several() throws {
      var running: [RunningTraffic] = []
      for id in UInt64(1)...8 {
        let proto = id % 2 == 0 ? NLProtocol.udp : .icmp
        let port: UInt32 = proto == .udp ? 6000 + UInt32(id) : 0
        running.append(
          RunningTraffic(engine, request(id, proto, milliseconds: 200, pps: 100 * UInt32(id), port: port)))
      }
      for traffic in running {
        let reply = try traffic.result()
        #expect(reply.packetsReceived == reply.packetsSent && reply.packetsSent > 0, "\(reply)")
      }
    }

    @Test("a stream as fast as it goes is bounded, and stops when it is told to")
    func unpaced() throws {
      let traffic = RunningTraffic(engine, request(1, .tcp, milliseconds: 0))
      _ = try traffic.account()
      traffic.stop()
      let reply = try traffic.result()
      #expect(reply.error == "" && reply.reachable && reply.packetsSent >= reply.packetsReceived, "\(reply)")
      #expect(Double(reply.bytes) * 8 < 1.5 * 200e6 * max(reply.seconds, 0.5), "\(reply)")
    }

    @Test("what cannot be is refused with the reason, and what ran before goes on")
    func refusals() throws {
      var busy = request(1, .udp, milliseconds: 0, pps: 100, port: 6001)
      let traffic = RunningTraffic(engine, busy)
      _ = try traffic.account()
      busy.id = 2
      #expect(try run(busy).error.contains("something else listens on web port 6001"))
      #expect(try run(request(1, .icmp, milliseconds: 100)).error.contains("runs already"))
      var many = request(3, .udp, milliseconds: 100, pps: 60_000)
      #expect(try run(many).error.contains("50000 are possible"))
      (many.packetsPerSecond, many.rate, many.payload) = (0, 900_000_000, 9000)
      #expect(try run(many).error.contains("500 are possible"))
      (many.packetsPerSecond, many.rate, many.payload) = (5, 5, 0)
      #expect(try run(many).error.contains("one says the other"))
      many = request(3, .udp, milliseconds: 100, to: "")
      #expect(try run(many).error.contains("no node of the lab"))
      many = request(3, .udp, milliseconds: 3_600_001)
      #expect(try run(many).error.contains("3600000 at most"))
      many = request(3, .udp, milliseconds: 100)
      many.payload = 10
      #expect(try run(many).error.contains("10 bytes"))
      engine.stopAll()
      let reply = try traffic.result()
      #expect(reply.error == "" && reply.packetsReceived == reply.packetsSent)
      // The port is free again.
      #expect(try run(request(4, .udp, milliseconds: 50, pps: 100, port: 6001)).error == "")
    }

    @Test("the sixty-fifth stream is refused")
    func bounded() throws {
      let running = (1...64).map {
        RunningTraffic(engine, request(UInt64($0), .icmp, milliseconds: 0, pps: 1))
      }
      #expect(try run(request(65, .icmp, milliseconds: 100)).error.contains("64 streams are under way"))
      engine.stopAll()
      for traffic in running { #expect(try traffic.result().error == "") }
    }

    @Test("datagrams to a router that translates them are received behind it")
    func translated() throws {
      try lab.run(
        "r2",
        "nft add table ip n; nft \"add chain ip n d { type nat hook prerouting priority -100; }\"; nft add rule ip n d udp dport 5202 dnat to \(lab.address("web:eth1")):7000"
      )
      var request = request(1, .udp, milliseconds: 200, pps: 200, to: "r2")
      request.flow.destination = lab.request("h1", "r2", lab.address("r2:eth0")).destination
      for index in request.flow.nodes.indices where request.flow.nodes[index].kind == "router" {
        request.flow.nodes[index].forwards = true
      }
      let reply = try run(request)
      #expect(reply.error == "" && reply.packetsReceived == reply.packetsSent && reply.packetsSent > 0, "\(reply)")
    }

    @Test("a closed way is told from an open one: everything is lost, and nothing is reachable")
    func closed() throws {
      try lab.run("r1", "ip -4 route replace blackhole default")
      let reply = try run(request(1, .udp, milliseconds: 100, pps: 200))
      #expect(reply.error == "" && !reply.reachable && reply.packetsSent > 0 && reply.packetsReceived == 0, "\(reply)")
      #expect(reply.outages.count == 1 && reply.outages.first?.lost == reply.packetsSent)
      let tcp = try run(request(2, .tcp, milliseconds: 100, pps: 200))
      #expect(!tcp.reachable && tcp.packetsSent == 0, "\(tcp)")
    }
  }
}
