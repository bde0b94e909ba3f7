import Capture
import ControlProtocol
import Foundation
import NetTypes
import Probe
import Synchronization
import Testing

private func run(_ request: NLRateRequest, stop: StopFlag = StopFlag()) -> NLRateReply {
  var reply = NLRateReply()
  RateRun.run(request, stop: stop) { reply = $0 }
  return reply
}

extension NLRateReply {
  var mbit: Double { seconds > 0 ? Double(bytes) * 8 / seconds / 1e6 : 0 }
}

/// h1 - r1 - r2 - web.
extension NamespaceTests {
  @Suite struct RateTests {
    private let lab: NamespaceLab

    init() throws {
      lab = try NamespaceLab(["h1:eth1-r1:eth0", "r1:eth1-r2:eth0", "r2:eth1-web:eth1"], hosts: ["h1", "web"])
      try lab.route("h1", via: "r1:eth0")
      try lab.route("r1", via: "r2:eth0")
      try lab.route("r2", via: "r1:eth1")
      try lab.route("web", via: "r2:eth1")
    }

    private func request(
      _ proto: NLProtocol, milliseconds: UInt32, mbit: Double = 0, port: UInt32 = 0, family: AddressFamily = .ipv4
    ) -> NLRateRequest {
      var request = NLRateRequest()
      request.flow = lab.request("h1", "web", lab.address("web:eth1", family), proto, port: port)
      request.durationMs = milliseconds
      request.rate = UInt64(mbit * 1e6)
      return request
    }

    private func shape(_ node: String, _ interface: String, _ mbit: Int) throws {
      try lab.run(
        node, "tc qdisc replace dev \(interface) root tbf rate \(mbit)mbit burst \(max(2, mbit * 2))kb latency 100ms")
    }

    /// By packets of 1,428 bytes of IP: nft's bucket for bytes holds a second of the rate beside its burst, that for packets
    /// its burst alone. The sender's aggregates are cut before, so that a packet is one.
    private func police(_ node: String, _ interface: String, _ mbit: Double) throws {
      try lab.run("h1", "ip link set dev eth1 gso_max_segs 1")
      let packets = Int(mbit * 1e6 / 8 / 1428)
      try lab.run(
        node,
        "nft add table netdev p; nft \"add chain netdev p c { type filter hook ingress device \(interface) priority 0; }\"; nft add rule netdev p c limit rate over \(packets)/second burst \(max(20, Int(mbit) * 2)) packets counter drop"
      )
    }

    /// The verdict on one of each, and that it is a rate of that size.
    private func expect(
      _ reply: NLRateReply, _ limit: NLRateReply.LimitedBy, _ place: String, mbit: ClosedRange<Double>? = nil,
      _ what: String
    ) {
      let text = "\(what): \(reply.limitedBy) at \(reply.place), \(reply.mbit) Mbit/s, \(reply.because) \(reply.error)"
      #expect(reply.error == "" && reply.reachable && reply.undecidedBecause == "", "\(text) \(reply.undecidedBecause)")
      #expect(reply.limitedBy == limit && reply.place == place, "\(text)")
      if let mbit { #expect(mbit.contains(reply.mbit), "\(text)") }
    }

    @Test(
      "a shaper and a policer of the same rate are told apart, at every rate, by streams and by datagrams",
      arguments: [1, 10, 100])
    func shapingOrPolicing(_ mbit: Int) throws {
      for proto in [NLProtocol.tcp, .udp] {
        let offer = proto == .udp ? 2 * Double(mbit) : 0
        try shape("r1", "eth1", mbit)
        let shaped = run(request(proto, milliseconds: mbit == 1 ? 1000 : 700, mbit: offer))
        // What TBF lets through is its rate and once the bucket, which is 16 ms of it, or two packets.
        expect(shaped, .shaping, "r1:eth1", mbit: 0.5 * Double(mbit)...1.1 * Double(mbit), "\(proto) shaped \(mbit)")
        #expect(shaped.delayP99Ms > 3, "\(proto) \(shaped.delayP99Ms)")
        try lab.run("r1", "tc qdisc del dev eth1 root")
        try police("r1", "eth0", Double(mbit))
        let policed = run(request(proto, milliseconds: mbit == 1 ? 1200 : 700, mbit: offer))
        // A stream that is policed gets less than the rate, at the lowest much less.
        expect(
          policed, .policing, "r1:eth0", mbit: 0.02 * Double(mbit)...1.6 * Double(mbit), "\(proto) policed \(mbit)")
        #expect(proto == .udp ? policed.packetsReceived < policed.packetsSent : policed.retransmits > 0, "\(proto)")
        #expect(policed.intervals.reduce(0) { $0 + $1.lost } > 0, "\(proto)")
        // A second reader: what the rule dropped.
        let rule = try lab.run("r1", "nft list table netdev p")
        #expect(Self.counter(rule) > 0, "\(rule)")
        try lab.run("r1", "nft delete table netdev p")
      }
    }

    /// `counter packets N` of a rule.
    private static func counter(_ rule: String) -> Int {
      let words = rule.split(whereSeparator: \.isWhitespace)
      guard let place = words.firstIndex(of: "counter"), place + 2 < words.count else { return 0 }
      return Int(words[place + 2]) ?? 0
    }

    @Test("an offer that arrives whole is limited by nothing; a program that paces itself neither")
    func unlimited() {
      let datagrams = run(request(.udp, milliseconds: 700, mbit: 5))
      expect(datagrams, .none, "", mbit: 4.5...5.5, "udp")
      #expect(datagrams.packetsReceived == datagrams.packetsSent && datagrams.complete)
      #expect(datagrams.bytes == datagrams.packetsReceived * 1400)
      #expect(datagrams.intervals.reduce(0) { $0 + $1.bytes } == datagrams.bytes)
      #expect(datagrams.delayMinMs > 0 && datagrams.delayMedianMs < 50)
      let stream = run(request(.tcp, milliseconds: 700, mbit: 20, family: .ipv6))
      #expect(stream.retransmits == 0 && stream.packetsReceived > 0)
      expect(stream, .none, "", mbit: 10...25, "tcp")
      #expect(stream.intervals.reduce(0) { $0 + $1.bytes } == stream.bytes)
    }

    @Test("a stream that nothing limits is judged by what was kept of it: what passes after that is not missed")
    func unlimitedStream() {
      let reply = run(request(.tcp, milliseconds: 1500))
      expect(reply, .none, "", mbit: 200...1_000_000, "tcp")
      #expect(reply.complete, "\(reply.because)")
    }

    @Test("queues of the sending node and policers of the receiving one are found as well")
    func ends() throws {
      try shape("h1", "eth1", 10)
      expect(run(request(.tcp, milliseconds: 600)), .shaping, "h1:eth1", "tcp")
      expect(run(request(.udp, milliseconds: 500, mbit: 20)), .shaping, "h1:eth1", "udp")
      try lab.run("h1", "tc qdisc del dev eth1 root")
      try police("web", "eth1", 10)
      expect(run(request(.tcp, milliseconds: 800)), .policing, "web:eth1", "tcp")
      expect(run(request(.udp, milliseconds: 500, mbit: 20)), .policing, "web:eth1", "udp")
    }

    @Test("of a shaper and a policer the lower one is named, in either order and on one node")
    func both() throws {
      let orders = [
        (("r1", "eth0"), ("r2", "eth1")), (("r2", "eth0"), ("r1", "eth1")), (("r1", "eth0"), ("r1", "eth1")),
      ]
      for (policer, shaper) in orders {
        for (policed, shaped, limit) in [(20.0, 5, NLRateReply.LimitedBy.shaping), (5, 20, .policing)] {
          try police(policer.0, policer.1, policed)
          try shape(shaper.0, shaper.1, shaped)
          let place = limit == .shaping ? "\(shaper.0):\(shaper.1)" : "\(policer.0):\(policer.1)"
          for proto in [NLProtocol.tcp, .udp] {
            let reply = run(request(proto, milliseconds: proto == .tcp ? 800 : 400, mbit: proto == .udp ? 30 : 0))
            expect(reply, limit, place, "\(proto) policer \(policer) \(policed), shaper \(shaper) \(shaped)")
          }
          try lab.run(policer.0, "nft delete table netdev p")
          try lab.run(shaper.0, "tc qdisc del dev \(shaper.1) root")
        }
      }
    }

    @Test("packets keep their DSCP, and the capture file holds their headers and the verdict")
    func evidence() throws {
      var one = request(.udp, milliseconds: 200, mbit: 1)
      one.dscp = 46
      one.flow.pcap = NSTemporaryDirectory() + "netloom-rate-\(UUID().uuidString).pcapng"
      defer { unlink(one.flow.pcap) }
      let reply = run(one)
      #expect(reply.capture == one.flow.pcap)
      let file = try PcapngFile(Array(Data(contentsOf: URL(fileURLWithPath: one.flow.pcap))))
      #expect(file.comment.contains("rate h1 to web") && file.comment.contains(reply.because))
      #expect(file.records.count == Int(reply.packetsSent) * 6)
      // RFC 2474: the code point is the upper six bits of the second octet of the header.
      #expect(file.records.allSatisfy { $0.bytes[15] >> 2 == 46 && $0.bytes.count <= 128 })
    }

    @Test("runs at the same time are measured apart; a port that is taken is refused in words")
    func atOnce() throws {
      let replies = Mutex<[Int: NLRateReply]>([:])
      let requests = [
        request(.udp, milliseconds: 600, mbit: 3, port: 6001), request(.udp, milliseconds: 600, mbit: 3, port: 6002),
      ]
      DispatchQueue.concurrentPerform(iterations: 2) { index in
        let reply = run(requests[index])
        replies.withLock { $0[index] = reply }
      }
      for (_, reply) in replies.withLock({ $0 }) { expect(reply, .none, "", mbit: 2.5...3.5, "\(reply.packetsSent)") }
      let listening = Pipe()
      let server = try lab.start(
        "web",
        [
          "python3", "-c",
          "import socket; s=socket.create_server((\"0.0.0.0\", 6003)); print(1, flush=True); s.accept()",
        ], output: listening)
      defer { server.terminate() }
      #expect(listening.fileHandleForReading.availableData.first == UInt8(ascii: "1"))
      #expect(
        run(request(.tcp, milliseconds: 300, port: 6003)).error.contains("something else listens on web port 6003"))
    }

    @Test("a way that is closed, or nobody's, is told and not measured")
    func refusals() throws {
      let start = ContinuousClock.now
      try lab.run(
        "r2",
        "nft add table ip f; nft \"add chain ip f c { type filter hook forward priority 0; }\"; nft add rule ip f c tcp dport 5201 reject with tcp reset"
      )
      let refused = run(request(.tcp, milliseconds: 5000))
      #expect(refused.error == "" && !refused.reachable && refused.because == "web: connection refused")
      #expect(ContinuousClock.now - start < .seconds(4))
      var wrong = request(.udp, milliseconds: 300)
      #expect(run(wrong).error.contains("udp needs a rate"))
      wrong.rate = 1_000_000
      wrong.flow.protocol = .icmp
      #expect(run(wrong).error.contains("tcp or udp"))
      var nobody = request(.tcp, milliseconds: 300)
      nobody.flow.to = ""
      #expect(run(nobody).error.contains("no node of the lab"))
      var itself = request(.tcp, milliseconds: 300)
      (itself.flow.from, itself.durationMs) = ("web", 300)
      #expect(run(itself).error.contains("itself"))
      var long = request(.tcp, milliseconds: 0)
      #expect(run(long).error.contains("duration"))
      long = request(.udp, milliseconds: 300, mbit: 1)
      long.payload = 70_000
      #expect(run(long).error.contains("70000"))
    }

    @Test("a run ends when it is told to, long before its time")
    func ended() {
      let stop = StopFlag()
      let start = ContinuousClock.now
      DispatchQueue.global().asyncAfter(deadline: .now() + 0.2) { stop.raise() }
      let reply = run(request(.tcp, milliseconds: 60_000), stop: stop)
      #expect(reply.error.contains("ended early"))
      #expect(ContinuousClock.now - start < .seconds(20))
    }
  }
}
