import Capture
import ControlProtocol
import Foundation
import NetTypes
import Probe
import Synchronization
import Testing

private let needs: Comment = "needs root (network namespaces) and nsenter"

/// One after the other: a program started by one test would otherwise inherit the pipes of another.
@Suite(.serialized, .enabled(if: NamespaceLab.canRun, needs)) enum NamespaceTests {}

/// h1 - r1 - r2 - r3 - r4 - web, routes along the chain.
extension NamespaceTests {
  @Suite struct ChainTraceTests {
    private let lab: NamespaceLab
    private let path = ["h1", "r1", "r2", "r3", "r4", "web"]

    init() throws {
      lab = try NamespaceLab(
        ["h1:eth1-r1:eth0", "r1:eth1-r2:eth0", "r2:eth1-r3:eth0", "r3:eth1-r4:eth0", "r4:eth1-web:eth1"],
        hosts: ["h1", "web"])
      try lab.route("h1", via: "r1:eth0")
      try lab.route("r1", via: "r2:eth0")
      try lab.route("r2", via: "r3:eth0")
      try lab.route("r2", to: lab.subnets(1), via: "r1:eth1")
      try lab.route("r3", via: "r2:eth1")
      try lab.route("r3", to: lab.subnets(5), via: "r4:eth0")
      try lab.route("r4", via: "r3:eth1")
      try lab.route("web", via: "r4:eth1")
    }

    @Test("every protocol and family shows six nodes there and back, symmetric and complete, within a second")
    func chain() {
      for family in AddressFamily.allCases {
        for proto in [NLProtocol.icmp, .tcp, .udp] {
          let start = ContinuousClock.now
          let reply = trace(lab.request("h1", "web", lab.address("web:eth1", family), proto, port: 7000))
          let elapsed = ContinuousClock.now - start
          let what = "\(family) \(proto)"
          #expect(reply.error == "", "\(what)")
          #expect(reply.reachable, "\(what)")
          #expect(reply.undecidedBecause == "" && reply.complete, "\(what)")
          #expect(reply.forward.path == path && reply.return.path == path.reversed(), "\(what)")
          #expect(reply.symmetric == .yes, "\(what)")
          #expect(reply.forward.lost == 0 && reply.return.lost == 0, "\(what)")
          #expect(reply.forward.packets >= 3 && reply.return.packets >= 3, "\(what)")
          #expect(elapsed < .seconds(1), "\(what) took \(elapsed)")
          print("trace of 6 nodes, \(what): \(elapsed)")
          if reply.forward.hops.count == 6 {
            let hop = reply.forward.hops[2]
            #expect(hop.node == "r2" && hop.in == "eth0" && hop.out == "eth1", "\(what)")
            #expect(hop.us > 0 && hop.us < 100_000, "\(what)")
            #expect(hop.joinedBy == (proto == .tcp ? "seq" : "nonce"), "\(what)")
          }
        }
      }
    }

    @Test("several connections are several flows; each port is the sender's choice")
    func connections() {
      var request = lab.request("h1", "web", lab.address("web:eth1"), .tcp, port: 80)
      request.count = 5
      let reply = trace(request)
      #expect(reply.reachable && reply.undecidedBecause == "")
      #expect(reply.forward.paths.map(\.path) == [path])
      #expect(reply.forward.packets >= 15)
    }

    @Test("many probes: none is lost by the captures, and each has its number")
    func many() throws {
      for (proto, count) in [(NLProtocol.icmp, 300), (.udp, 300), (.tcp, 100)] {
        var request = lab.request("h1", "web", lab.address("web:eth1"), proto, port: 7000)
        request.count = UInt32(count)
        request.pcap = NSTemporaryDirectory() + "netloom-many-\(UUID().uuidString).pcapng"
        defer { unlink(request.pcap) }
        let reply = trace(request)
        #expect(reply.error == "" && reply.reachable && reply.undecidedBecause == "", "\(proto) \(reply)")
        #expect(reply.forward.packets >= count && reply.forward.lost == 0, "\(proto)")
        guard proto == .icmp else { continue }
        let file = try PcapngFile(Array(Data(contentsOf: URL(fileURLWithPath: request.pcap))))
        let sent = file.records.filter { $0.direction == .outbound && file.interfaces[$0.interface].name == "h1:eth1" }
        // RFC 792: the sequence number stands in bytes 6 and 7 of the message.
        #expect(sent.map { Int($0.bytes[40]) << 8 | Int($0.bytes[41]) } == Array(1...count))
      }
    }

    @Test("a service that resets what it accepts has answered")
    func closesAtOnce() throws {
      let program = """
        import socket,struct
        t=socket.socket(); t.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); t.bind(("0.0.0.0",9179)); t.listen(64)
        print("ready",flush=True)
        while True:
          c,_=t.accept(); c.setsockopt(socket.SOL_SOCKET,socket.SO_LINGER,struct.pack("ii",1,0)); c.close()
        """
      let pipe = Pipe()
      let server = try lab.start("web", ["python3", "-c", program], output: pipe)
      defer { server.terminate() }
      #expect(String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self).hasPrefix("ready"))
      for round in 0..<20 {
        var request = lab.request("h1", "web", lab.address("web:eth1"), .tcp, port: 9179)
        request.count = 3
        let reply = trace(request)
        #expect(reply.reachable && reply.undecidedBecause == "", "\(round) \(reply.undecidedBecause)")
      }
    }

    @Test("traces at once to the same port share what answers them, in any order of their ends")
    func samePort() {
      for proto in [NLProtocol.tcp, .udp] {
        let requests = (0..<16).map { index in
          var request = lab.request("h1", "web", lab.address("web:eth1"), proto, port: 7200)
          request.count = UInt32(1 + index % 3)
          return request
        }
        let replies = Mutex<[NLTraceReply]>([])
        DispatchQueue.concurrentPerform(iterations: requests.count) { index in
          let reply = trace(requests[index])
          replies.withLock { $0.append(reply) }
        }
        for reply in replies.withLock({ $0 }) {
          #expect(reply.reachable && reply.undecidedBecause == "", "\(proto) \(reply.undecidedBecause) \(reply.error)")
          // Our own responder: conntrack would say that it was taken for a service of somebody's.
          #expect(reply.return.hops.first?.joinedBy == (proto == .tcp ? "seq" : "nonce"), "\(proto)")
        }
      }
    }

    @Test("a full disk costs the file, not the verdict")
    func fullDisk() {
      var request = lab.request("h1", "web", lab.address("web:eth1"))
      request.pcap = "/dev/full"
      let reply = trace(request)
      #expect(reply.error == "" && reply.reachable && reply.undecidedBecause == "" && reply.symmetric == .yes)
      #expect(reply.capture == "")
      #expect(reply.notes == ["no capture file: write /dev/full: No space left on device"])
      #expect(FileManager.default.fileExists(atPath: "/dev/full"))
    }

    @Test("a router without a route: its error is told, forward ends there, return is empty, at once")
    func noRoute() throws {
      try lab.run("r2", "ip route del default")
      for proto in [NLProtocol.icmp, .tcp, .udp] {
        let start = ContinuousClock.now
        let reply = trace(lab.request("h1", "web", lab.address("web:eth1"), proto))
        #expect(!reply.reachable && reply.undecidedBecause == "", "\(proto)")
        #expect(reply.forward.path == ["h1", "r1", "r2"] && reply.return.path.isEmpty, "\(proto)")
        #expect(reply.icmpErrors.contains("r2: destination unreachable (no route)"), "\(proto) \(reply.icmpErrors)")
        #expect(reply.forward.lastSeen == "r2:eth0", "\(proto)")
        #expect(ContinuousClock.now - start < .seconds(1), "\(proto)")
      }
    }

    @Test("a way back that is lost silently: decided within about a second, return empty, its last place told")
    func lostAnswer() throws {
      try lab.run("r3", "ip route replace blackhole 10.99.1.0/30")
      let start = ContinuousClock.now
      let reply = trace(lab.request("h1", "web", lab.address("web:eth1")))
      #expect(!reply.reachable && reply.undecidedBecause == "")
      #expect(reply.forward.path == path && reply.return.path.isEmpty)
      #expect(reply.return.lastSeen == "r3:eth1" && reply.return.lost == 3)
      #expect(ContinuousClock.now - start < .milliseconds(1500))
    }

    @Test("a sender without a route is told by its own kernel")
    func noRouteAtSource() throws {
      try lab.run("h1", "ip route del default")
      let reply = trace(lab.request("h1", "web", lab.address("web:eth1"), .tcp))
      #expect(!reply.reachable && reply.error == "")
      #expect(reply.forward.path == ["h1"])
      #expect(reply.icmpErrors == ["h1: Network is unreachable"])
    }

    @Test("a closed port of an address without a node: refused, which is no answer")
    func refused() {
      let reply = trace(lab.request("h1", "", lab.address("web:eth1"), .tcp, port: 81))
      #expect(!reply.reachable && reply.undecidedBecause == "")
      #expect(reply.forward.path == path && reply.return.path.isEmpty)
    }

    @Test("a service of the user's is used as it is: TCP by its handshake, UDP joined by the tuple")
    func existingService() throws {
      let program = """
        import socket,threading,sys
        t=socket.socket(); t.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); t.bind(("0.0.0.0",9000)); t.listen()
        u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); u.bind(("0.0.0.0",9000))
        def serve():
          while True:
            d,a=u.recvfrom(2048); u.sendto(b"pong:"+d[-3:],a)
        threading.Thread(target=serve,daemon=True).start()
        print("ready",flush=True)
        while True:
          c,_=t.accept(); c.sendall(b"hello\\n"); c.close()
        """
      let pipe = Pipe()
      let server = try lab.start("web", ["python3", "-c", program], output: pipe)
      defer { server.terminate() }
      #expect(String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self).hasPrefix("ready"))
      let tcp = trace(lab.request("h1", "web", lab.address("web:eth1"), .tcp, port: 9000))
      #expect(tcp.reachable && tcp.undecidedBecause == "", "\(tcp.undecidedBecause)")
      #expect(tcp.forward.path == path && tcp.return.path == path.reversed() && tcp.symmetric == .yes)
      let udp = trace(lab.request("h1", "web", lab.address("web:eth1"), .udp, port: 9000))
      #expect(udp.reachable && udp.undecidedBecause == "", "\(udp.undecidedBecause)")
      #expect(udp.return.path == path.reversed())
      #expect(udp.return.hops.first?.joinedBy == "conntrack" && udp.forward.hops.first?.joinedBy == "nonce")
    }

    @Test("masquerading is reported at its hop, and the way back is still joined")
    func masquerade() throws {
      try lab.run(
        "r1",
        "nft add table ip t; nft \"add chain ip t p { type nat hook postrouting priority 100; }\"; nft add rule ip t p oifname eth1 masquerade"
      )
      for proto in [NLProtocol.icmp, .tcp, .udp] {
        let reply = trace(lab.request("h1", "web", lab.address("web:eth1"), proto, port: 80))
        #expect(reply.reachable && reply.undecidedBecause == "", "\(proto) \(reply.undecidedBecause)")
        #expect(
          reply.forward.path == path && reply.return.path == path.reversed() && reply.symmetric == .yes, "\(proto)")
        guard reply.forward.hops.count == 6 else { continue }
        #expect(reply.forward.hops[1].nat.sourceFrom.hasPrefix(lab.address("h1:eth1")), "\(proto)")
        #expect(reply.forward.hops[1].nat.sourceTo.hasPrefix(lab.address("r1:eth1")), "\(proto)")
        #expect(!reply.forward.hops[2].hasNat, "\(proto)")
        #expect(reply.return.hops[4].nat.destinationTo.hasPrefix(lab.address("h1:eth1")), "\(proto)")
      }
    }

    @Test("an interface that is not captured, or cannot be, makes the trace undecided")
    func missingCapture() {
      let whole = lab.request("h1", "web", lab.address("web:eth1"))
      for index in whole.points.indices {
        var blind = whole
        blind.points.remove(at: index)
        let reply = trace(blind)
        #expect(reply.undecidedBecause != "" && !reply.complete, "without \(whole.points[index].interface)")
        #expect(reply.symmetric == .undecided)
      }
      var broken = whole
      broken.points[3].interface = "nosuch"
      let reply = trace(broken)
      #expect(reply.undecidedBecause.contains("r2:nosuch could not be captured"))
    }

    @Test("traces at the same time do not disturb each other")
    func concurrent() {
      let requests = [NLProtocol.icmp, .tcp, .udp, .icmp, .tcp].enumerated().map { index, proto in
        index % 2 == 0
          ? lab.request("h1", "web", lab.address("web:eth1"), proto, port: UInt32(7100 + index))
          : lab.request("web", "h1", lab.address("h1:eth1"), proto, port: UInt32(7100 + index))
      }
      let replies = Mutex([Int: NLTraceReply]())
      DispatchQueue.concurrentPerform(iterations: requests.count) { index in
        let reply = trace(requests[index])
        replies.withLock { $0[index] = reply }
      }
      for (index, reply) in replies.withLock({ $0 }) {
        #expect(reply.undecidedBecause == "" && reply.reachable, "\(index) \(reply.undecidedBecause) \(reply.error)")
        #expect(reply.forward.path == (index % 2 == 0 ? path : path.reversed()), "\(index)")
      }
    }

    @Test("the evidence is a pcapng that says the verdict and that tshark reads")
    func evidence() throws {
      var request = lab.request("h1", "web", lab.address("web:eth1"), .tcp, port: 80)
      request.pcap = NSTemporaryDirectory() + "netloom-trace-\(UUID().uuidString).pcapng"
      defer { unlink(request.pcap) }
      let reply = trace(request)
      #expect(reply.capture == request.pcap)
      let file = try PcapngFile(Array(Data(contentsOf: URL(fileURLWithPath: request.pcap))))
      #expect(file.comment.contains("reachable, symmetric") && file.comment.contains("forward h1 > r1 > r2"))
      #expect(file.interfaces.map(\.name).contains("r2:eth1"))
      #expect(file.records.map(\.time) == file.records.map(\.time).sorted())
      #expect(!file.records.contains { $0.direction == .foreign })
      if FileManager.default.isExecutableFile(atPath: "/usr/bin/tshark") {
        // A second reader: SYNs that left an interface, in order.
        let text = try NamespaceLab.shell(
          "tshark -r \(request.pcap) -Y 'tcp.flags.syn==1 && tcp.flags.ack==0 && frame.packet_flags_direction==2' -T fields -e frame.interface_name 2>/dev/null"
        )
        #expect(text.split(separator: "\n") == ["h1:eth1", "r1:eth1", "r2:eth1", "r3:eth1", "r4:eth1"])
        #expect(try NamespaceLab.shell("tshark -r \(request.pcap) -Y _ws.malformed 2>/dev/null").isEmpty)
      }
      var unwritable = request
      unwritable.pcap = "/proc/no-such-folder/x.pcapng"
      #expect(trace(unwritable).error.contains("/proc/no-such-folder"))
    }

    @Test("a node to itself is reachable without a hop")
    func itself() {
      let reply = trace(lab.request("r2", "r2", lab.address("r2:eth1"), .tcp, port: 80))
      #expect(reply.reachable && reply.forward.path == ["r2"] && reply.undecidedBecause == "")
    }

    @Test("requests that make no sense are refused in words")
    func refusals() {
      var unknown = lab.request("h1", "web", lab.address("web:eth1"))
      unknown.from = "nobody"
      #expect(trace(unknown).error.contains("nobody"))
      #expect(trace(lab.request("h1", "web", "224.0.0.1")).error.contains("224.0.0.1"))
      #expect(trace(lab.request("h1", "web", "x")).error != "")
      for address in ["127.0.0.1", "::1"] {
        #expect(trace(lab.request("h1", "", address)).error.contains("\(address) is a loopback address"))
      }
    }
  }
}

/// h1 - a - b - c - web with a link a - c that only the way back uses.
extension NamespaceTests {
  @Suite struct TriangleTraceTests {
    private let lab: NamespaceLab

    init() throws {
      lab = try NamespaceLab(
        ["h1:eth1-a:eth0", "a:eth1-b:eth0", "b:eth1-c:eth0", "a:eth2-c:eth2", "c:eth1-web:eth1"], hosts: ["h1", "web"])
      try lab.route("h1", via: "a:eth0")
      try lab.route("a", via: "b:eth0")
      try lab.route("b", via: "c:eth0")
      try lab.route("c", via: "a:eth2")
      try lab.route("web", via: "c:eth1")
    }

    @Test("another way back is seen as what it is, and tcpdump on the spared router agrees")
    func asymmetric() throws {
      let (pipe, said) = (Pipe(), Pipe())
      let dump = try lab.start(
        "b", ["tcpdump", "-n", "-l", "--immediate-mode", "-i", "eth1", "-c", "3", "icmp or tcp or udp"], output: pipe,
        error: said)
      defer { dump.terminate() }
      // Once it is said, its socket is bound and its filter stands.
      var words = ""
      while !words.contains("listening on") {
        let more = said.fileHandleForReading.availableData
        try #require(!more.isEmpty, "tcpdump ended: \(words)")
        words += String(decoding: more, as: UTF8.self)
      }
      let reply = trace(lab.request("h1", "web", lab.address("web:eth1")))
      #expect(reply.reachable && reply.undecidedBecause == "")
      #expect(reply.forward.path == ["h1", "a", "b", "c", "web"])
      #expect(reply.return.path == ["web", "c", "a", "h1"])
      #expect(reply.symmetric == .no)
      let lines = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).split(
        separator: "\n")
      #expect(lines.count == 3)
      #expect(lines.allSatisfy { $0.contains("ICMP echo request") })
      for proto in [NLProtocol.tcp, .udp] {
        for family in AddressFamily.allCases {
          let reply = trace(lab.request("h1", "web", lab.address("web:eth1", family), proto, port: 80))
          #expect(
            reply.symmetric == .no && reply.undecidedBecause == "", "\(proto) \(family) \(reply.undecidedBecause)")
          #expect(reply.return.path == ["web", "c", "a", "h1"])
        }
      }
    }

    @Test("two equal routes: both paths are reported with their packets")
    func equalCost() throws {
      try lab.run(
        "a",
        "sysctl -qw net.ipv4.fib_multipath_hash_policy=1; ip -4 route replace default nexthop via 10.99.2.2 nexthop via 10.99.4.2"
      )
      var request = lab.request("h1", "web", lab.address("web:eth1"), .tcp, port: 80)
      request.count = 24
      let reply = trace(request)
      #expect(reply.reachable && reply.undecidedBecause == "", "\(reply.undecidedBecause)")
      #expect(Set(reply.forward.paths.map(\.path)) == [["h1", "a", "b", "c", "web"], ["h1", "a", "c", "web"]])
      #expect(reply.forward.paths.reduce(0) { $0 + $1.packets } == reply.forward.packets)
      #expect(reply.symmetric == .no)
    }

    @Test("a routing loop is decided and named, with the error that ended it, by every protocol")
    func loop() throws {
      try lab.run("b", "ip -4 route replace default via 10.99.2.1; sysctl -qw net.ipv4.ip_default_ttl=255")
      try lab.run("h1", "sysctl -qw net.ipv4.ip_default_ttl=255")
      for proto in [NLProtocol.icmp, .udp, .tcp] {
        let reply = trace(lab.request("h1", "", "198.18.0.1", proto))
        #expect(!reply.reachable && reply.undecidedBecause == "", "\(proto) \(reply.undecidedBecause)")
        #expect(reply.forward.path == ["h1", "a", "b", "a", "b"], "\(proto)")
        #expect(reply.notes == ["loop a - b"], "\(proto) \(reply.notes)")
        #expect(reply.icmpErrors.contains { $0.hasSuffix("time exceeded (TTL)") }, "\(proto) \(reply.icmpErrors)")
      }
    }

    @Test("a packet that goes towards a node that is not captured leaves the trace undecided, not unreachable")
    func towardsTheUncaptured() throws {
      var request = lab.request("h1", "web", lab.address("web:eth1"))
      request.points.removeAll { $0.node == "b" }
      request.nodes.removeAll { $0.name == "b" }
      try lab.run("b", "ip -4 route replace blackhole 10.99.5.0/30")
      let reply = trace(request)
      #expect(!reply.reachable && reply.undecidedBecause.contains("b:eth0"), "\(reply.undecidedBecause)")
    }

    @Test("an interface that is down is no gap: the other way is proven")
    func linkDown() throws {
      try lab.run("b", "ip link set eth1 down")
      try lab.route("a", via: "c:eth2")
      let reply = trace(lab.request("h1", "web", lab.address("web:eth1"), .tcp, port: 80))
      #expect(reply.reachable && reply.undecidedBecause == "", "\(reply.undecidedBecause)")
      #expect(reply.forward.path == ["h1", "a", "c", "web"] && reply.symmetric == .yes)
    }
  }
}

extension NamespaceTests {
  @Suite struct CaptureCommandTests {
    @Test("a capture of two interfaces is one file in order of time, complete when its time is over")
    func twoInterfaces() throws {
      let lab = try NamespaceLab(["h1:eth1-web:eth1"], hosts: ["h1", "web"])
      // A pipe with a name: it opens when the captures are open, and ends when the file is complete.
      let path = NSTemporaryDirectory() + "netloom-capture-\(UUID().uuidString)"
      try #require(mkfifo(path, 0o600) == 0)
      defer { unlink(path) }
      // Far longer than the packets take, also on a busy machine.
      let arguments = [
        "netloom-probe", "capture", "--point", "h1:eth1:2:\(lab.pid("h1"))", "--describe", "the client",
        "--point", "web:eth1:2:\(lab.pid("web"))", "--filter", "icmp", "--write", path, "--for", "5",
      ]
      let ended = DispatchSemaphore(value: 0)
      let capture = Thread {
        _ = ProbeProgram.main(arguments)
        ended.signal()
      }
      capture.start()
      let written = try #require(FileHandle(forReadingAtPath: path))
      try lab.run("h1", "ping -q -c 20 -i 0.01 \(lab.address("web:eth1"))")
      let file = try PcapngFile(Array(written.readDataToEndOfFile()))
      #expect(ended.wait(timeout: .now() + 30) == .success)
      #expect(file.interfaces.map(\.name) == ["h1:eth1", "web:eth1"])
      #expect(file.interfaces[0].description == "the client" && file.interfaces[0].filter == "icmp")
      #expect(file.records.count == 80)
      #expect(file.records.map(\.time) == file.records.map(\.time).sorted())
      #expect(file.interfaces.allSatisfy { $0.statistics == CaptureStatistics(received: 40, dropped: 0) })
      #expect(file.records.count { $0.direction == .outbound } == 40)
    }

    @Test("wrong arguments and filters are usage errors, nothing that can be captured is an environment error")
    func usage() {
      #expect(ProbeProgram.main(["netloom-probe"]) == 2)
      #expect(ProbeProgram.main(["netloom-probe", "capture"]) == 2)
      #expect(ProbeProgram.main(["netloom-probe", "capture", "--point", "a:eth0"]) == 2)
      #expect(ProbeProgram.main(["netloom-probe", "capture", "--point", "a:eth0:1:1", "--for", "no"]) == 2)
      #expect(ProbeProgram.main(["netloom-probe", "capture", "--point", "a:nosuch:1:1", "--filter", "tcp prt"]) == 2)
      #expect(ProbeProgram.main(["netloom-probe", "capture", "--point", "a:nosuch0:1:\(getpid())", "--for", "1"]) == 3)
    }
  }
}
