import Foundation
import Testing

/// The commands of the contract on one small lab, read back with the kernel's and Wireshark's own tools.
@Suite(.serialized) struct CommandTests {
  static let pair = """
    topology:
      nodes:
        h1: {kind: host}
        h2: {kind: host}
        a: {kind: router, asn: 64500, networks: [192.0.2.0/24, "2001:db8:a::/48"]}
        b: {kind: router, asn: 64501, networks: [198.51.100.0/24, "2001:db8:b::/48"]}
      links:
        - {endpoints: ["a:eth1", "b:eth1"], relation: open}
        - {endpoints: ["h1:eth1", "a:eth2"], addresses: [[192.0.2.2/24, "2001:db8:a::2/64"], [192.0.2.1/24, "2001:db8:a::1/64"]]}
        - {endpoints: ["h2:eth1", "b:eth2"], addresses: [[198.51.100.2/24, "2001:db8:b::2/64"], [198.51.100.1/24, "2001:db8:b::1/64"]]}

    """

  struct Trace: Decodable {
    struct Path: Decodable {
      var path: [String]
      var packets: Int
    }
    var reachable: Bool
    var symmetric: Bool?
    var forward: Path
    var `return`: Path
    var complete: Bool
    var capture: String?
  }

  @Test("a flow of each protocol and family is traced both ways")
  func traces() throws {
    let bench = try Bench()
    let lab = "ct-trace-\(getpid())"
    _ = try bench.up(lab, Self.pair)
    for proto in ["icmp", "tcp", "udp"] {
      for family in ["ipv4", "ipv6"] {
        var arguments = [
          "trace", "--lab", lab, "h1", "h2", "--proto", proto, "--family", family, "-o", "json", "--pcap",
          bench.directory,
        ]
        if proto != "icmp" { arguments += ["--port", "4242"] }
        let run = try bench.netloom(arguments)
        try #require(run.exit == 0, "\(proto) \(family): \(run.errors)")
        let trace = try JSONDecoder().decode(Trace.self, from: Data(run.output.utf8))
        #expect(trace.reachable && trace.complete && trace.symmetric == true, "\(proto) \(family)")
        #expect(trace.forward.path == ["h1", "a", "b", "h2"] && trace.return.path == ["h2", "b", "a", "h1"])
        let capture = try #require(trace.capture)
        let info = try Command.run("capinfos", [capture])
        #expect(info.exit == 0, "\(info.errors)")
        let malformed = try Command.run("tshark", ["-r", capture, "-Y", "_ws.malformed"])
        #expect(malformed.exit == 0 && malformed.output.isEmpty, "\(malformed.output)")
      }
    }
  }

  @Test("nobody listening is unreachable over a dead link, and the nodes that saw the packet are named")
  func unreachable() throws {
    let bench = try Bench()
    let lab = "ct-dead-\(getpid())"
    _ = try bench.up(lab, Self.pair)
    #expect(try bench.netloom(["fault", "--lab", lab, "link-down", "a:eth1", "b:eth1"]).exit == 0)
    let run = try bench.netloom(["trace", "--lab", lab, "h1", "h2", "-o", "json"])
    #expect(run.exit == 1)
    let trace = try JSONDecoder().decode(Trace.self, from: Data(run.output.utf8))
    #expect(!trace.reachable && trace.forward.path == ["h1", "a"] && trace.return.path.isEmpty)
    #expect(try bench.netloom(["fault", "--lab", lab, "link-up", "a:eth1", "b:eth1"]).exit == 0)
    #expect(try bench.eventually { try bench.netloom(["trace", "--lab", lab, "h1", "h2"]).exit == 0 })
  }

  @Test("our BGP on the wire is dissected without a malformed mark, and the capture opens everywhere")
  func captureBGP() throws {
    let bench = try Bench()
    let lab = "ct-cap-\(getpid())"
    _ = try bench.up(lab, Self.pair)
    let file = "\(bench.directory)/bgp.pcapng"
    let capture = Process()
    capture.executableURL = URL(fileURLWithPath: Command.netloom)
    capture.arguments = ["capture", "--lab", lab, "a", "b", "-f", "tcp port 179", "-w", file, "--for", "6s"]
    try capture.run()
    // The file's header is written when every interface is open.
    #expect(bench.eventually(5) { ((try? Data(contentsOf: URL(fileURLWithPath: file)).count) ?? 0) > 0 })
    #expect(try bench.netloom(["fault", "--lab", lab, "reset-session", "a", "b"]).exit == 0)
    capture.waitUntilExit()
    #expect(capture.terminationStatus == 0)
    let info = try Command.run("capinfos", [file])
    #expect(
      info.exit == 0 && info.output.contains("a:eth1") && info.output.contains("b:eth1"), "\(info.output)\(info.errors)"
    )
    let types = try Command.run("tshark", ["-r", file, "-Y", "bgp", "-T", "fields", "-e", "bgp.type"]).output
    for type in ["1", "2", "3", "4"] {
      #expect(types.contains(type), "OPEN, UPDATE, NOTIFICATION and KEEPALIVE are there: \(types)")
    }
    let bad = try Command.run("tshark", ["-r", file, "-Y", "_ws.malformed || bgp.error"])
    #expect(bad.output.isEmpty, "\(bad.output)")
  }

  @Test("show reads the kernel: its routes are those ip prints")
  func showRoutes() throws {
    let bench = try Bench()
    let lab = "ct-show-\(getpid())"
    _ = try bench.up(lab, Self.pair)
    struct Route: Decodable {
      var prefix: String
      var proto: String
    }
    let show = try bench.netloom(["show", "routes", "--lab", lab, "a", "-o", "json"])
    let ours = try JSONDecoder().decode([Route].self, from: Data(show.output.utf8)).filter { $0.proto == "bgp" }.map(
      \.prefix)
    let four = try bench.netloom(["exec", "--lab", lab, "a", "--", "ip", "-o", "route", "show", "proto", "bgp"]).output
    let six = try bench.netloom(["exec", "--lab", lab, "a", "--", "ip", "-6", "-o", "route", "show", "proto", "bgp"])
      .output
    let kernel = (four + six).split(separator: "\n").compactMap { $0.split(separator: " ").first.map(String.init) }
    #expect(Set(ours) == Set(kernel) && !kernel.isEmpty, "\(ours) \(kernel)")
    for what in ["bgp", "neighbors", "links"] {
      #expect(try bench.netloom(["show", what, "--lab", lab, "a"]).exit == 0)
    }
    let explain = try bench.netloom(["explain", "--lab", lab, "a", "198.51.100.0/24"])
    #expect(explain.exit == 0 && explain.output.contains("only-path"), "\(explain.output)")
  }

  @Test("exec passes stdin, output, exit code and signals, and names resolve in every node")
  func exec() throws {
    let bench = try Bench()
    let lab = "ct-exec-\(getpid())"
    _ = try bench.up(lab, Self.pair)
    let lines = try bench.netloom(["exec", "--lab", lab, "h1", "--", "sh", "-c", "echo out; echo err >&2; exit 7"])
    #expect(lines.exit == 7 && lines.output == "out\n" && lines.errors == "err\n")
    #expect(try bench.netloom(["exec", "--lab", lab, "h1", "--", "sh", "-c", "kill -TERM $$"]).exit == 143)
    #expect(try bench.netloom(["exec", "--lab", lab, "h1", "--", "no-such-program"]).exit == 127)
    #expect(
      try bench.netloom(["exec", "--lab", lab, "h1", "--", "getent", "hosts", "h2"]).output.contains("2001:db8:b::2"))
    #expect(try bench.netloom(["exec", "--lab", lab, "h1", "--", "ping", "-c1", "-W2", "h2"]).exit == 0)
    #expect(try bench.netloom(["exec", "--lab", lab, "h1", "--", "hostname"]).output == "h1\n")
    // Options of netloom may stand after the node, with `--` or without; those of the command are its own.
    #expect(try bench.netloom(["exec", "h1", "--lab", lab, "echo", "--lab", "x"]).output == "--lab x\n")
    #expect(try bench.netloom(["exec", "h1", "--lab=\(lab)", "-o", "json", "--", "echo", "-o"]).output == "-o\n")
    let nearest = try bench.netloom(["exec", "--lab", lab, "h3", "--", "true"])
    #expect(nearest.exit != 0 && nearest.errors.contains("h1"), "\(nearest.errors)")
  }

  @Test("a stopped node is the environment's matter, a prefix that is not there did not hold, a host speaks no BGP")
  func exitCodes() throws {
    let bench = try Bench()
    let lab = "ct-codes-\(getpid())"
    _ = try bench.up(lab, Self.pair)
    for what in ["routes", "bgp"] {
      #expect(try bench.netloom(["show", what, "--lab", lab, "a", "198.51.100.0/24"]).exit == 0)
      #expect(try bench.netloom(["show", what, "--lab", lab, "a", "203.0.113.0/24"]).exit == 1)
    }
    let host = try bench.netloom(["explain", "--lab", lab, "h1", "198.51.100.0/24"])
    #expect(host.exit == 2 && host.errors.contains("h1 is a host: it speaks no BGP"), "\(host.errors)")
    let speaker = try bench.netloom(["fault", "--lab", lab, "kill-speaker", "h1"])
    #expect(speaker.exit == 2 && speaker.errors.contains("speaks no BGP"), "\(speaker.errors)")
    // LAB/ at one end holds for the other.
    #expect(try bench.netloom(["fault", "link-down", "a:eth1", "\(lab)/b:eth1"]).exit == 0)
    let neighbors = try bench.netloom(["show", "neighbors", "\(lab)/a", "-o", "json"]).output
    struct Neighbor: Decodable {
      var address: String
      var asn: UInt32
    }
    let shown = try JSONDecoder().decode([Neighbor].self, from: Data(neighbors.utf8))
    #expect(shown.map(\.asn) == [64501] && shown.allSatisfy { !$0.address.isEmpty }, "\(neighbors)")
    #expect(try bench.netloom(["fault", "link-up", "\(lab)/a:eth1", "b:eth1"]).exit == 0)
    for node in ["a", "h1"] {
      #expect(try bench.netloom(["fault", "--lab", lab, "kill", node]).exit == 0)
      for words in [["exec", node, "--lab", lab, "true"], ["show", "routes", node, "--lab", lab]] {
        let run = try bench.netloom(words)
        #expect(run.exit == 3, "\(words): \(run.exit) \(run.errors)")
      }
    }
    #expect(try bench.netloom(["trace", "--lab", lab, "h1", "h2"]).exit == 3)
  }

  @Test("a filter that does not compile costs no file: an old one stays, a new one is not begun")
  func captureFilter() throws {
    let bench = try Bench()
    let lab = "ct-filter-\(getpid())"
    _ = try bench.up(lab, Self.pair)
    let old = try bench.file("old.pcapng", "what was there before, and is longer than nothing")
    let new = "\(bench.directory)/new.pcapng"
    for file in [old, new] {
      let run = try bench.netloom(["capture", "--lab", lab, "-f", "bad(", "-w", file])
      #expect(run.exit == 2 && run.errors.contains("bad("), "\(run.exit) \(run.errors)")
    }
    #expect(try String(contentsOfFile: old, encoding: .utf8).hasPrefix("what was there"))
    #expect(!FileManager.default.fileExists(atPath: new))
    #expect(try bench.netloom(["capture", "--lab", lab, "-w", old, "--for", "100ms"]).exit == 0)
    #expect(try Data(contentsOf: URL(fileURLWithPath: old)).starts(with: [0x0A, 0x0D, 0x0D, 0x0A]))
    #expect(try Command.run("capinfos", [old]).exit == 0)
  }

  @Test("a running lab is drawn as it was made")
  func graph() throws {
    let bench = try Bench()
    let lab = "ct-graph-\(getpid())"
    _ = try bench.up(lab, Self.pair)
    let file = try bench.netloom(["graph", "\(lab).yaml", "-o", "dot"])
    let drawn = try bench.netloom(["graph", "--lab", lab, "-o", "dot"])
    #expect(drawn.exit == 0 && drawn.output == file.output && !drawn.output.isEmpty, "\(drawn.errors)")
  }

  @Test("tests of another lab's file are refused on this one, and a file without the test asked for is named")
  func testsElsewhere() throws {
    let bench = try Bench()
    let lab = "ct-else-\(getpid())"
    _ = try bench.up(lab, "topology: {nodes: {h: {kind: host}}}\n")
    func tests(_ file: String, node: String, named name: String) throws -> String {
      try bench.file(
        file,
        """
        name: \(lab)
        topology: {nodes: {\(node): {kind: host}}}
        tests:
          - name: \(name)
            steps: [{exec: {node: \(node), command: "true"}, expect: {exit: 0}}]

        """)
    }
    let other = try tests("other.yaml", node: "c", named: "one")
    let same = try tests("same.yaml", node: "h", named: "two")
    let refused = try bench.netloom(["test", other, "--lab", lab])
    #expect(refused.exit == 2 && refused.errors.contains("lab \(lab) has no node c"), "\(refused.errors)")
    let only = try bench.netloom(["test", other, same, "--lab", lab, "--only", "two", "--junit", "report.xml"])
    #expect(only.exit == 0 && only.errors.contains("other.yaml: no test of that name"), "\(only.errors)")
    let report = try String(contentsOfFile: "\(bench.directory)/report.xml", encoding: .utf8)
    #expect(report.contains("other.yaml\" tests=\"0\"") && report.contains("same.yaml\" tests=\"1\""), "\(report)")
  }

  @Test("an interrupted up ends with the code of its signal and leaves no lab", arguments: [SIGINT, SIGTERM, SIGHUP])
  func interruptedUp(signal: Int32) throws {
    let bench = try Bench()
    let lab = "ct-int-\(signal)-\(getpid())"
    // Its `exec` does not end by itself: `up` is still busy when the signal comes.
    let text = "name: \(lab)\ntopology: {nodes: {h: {kind: host, exec: [\"touch begun; sleep 100\"]}}}\n"
    let path = try bench.file("up.yaml", text)
    let up = Process()
    up.executableURL = URL(fileURLWithPath: Command.netloom)
    up.arguments = ["up", path]
    up.standardError = FileHandle.nullDevice
    try up.run()
    #expect(bench.eventually(20) { FileManager.default.fileExists(atPath: "\(bench.directory)/begun") })
    kill(up.processIdentifier, signal)
    up.waitUntilExit()
    #expect(up.terminationReason == .exit && up.terminationStatus == 128 + signal, "\(up.terminationStatus)")
    #expect(try !bench.netloom(["ls", "-o", "json"]).output.contains(lab))
  }

  @Test("a terminal gets a real pty")
  func terminal() throws {
    let bench = try Bench()
    let lab = "ct-pty-\(getpid())"
    _ = try bench.up(lab, Self.pair)
    let script = "\(Command.netloom) exec --lab \(lab) h1 -- sh -c 'test -t 0 && tty && stty size'"
    let run = try Command.run("script", ["-qec", "stty rows 33 cols 101; " + script, "/dev/null"], in: bench.directory)
    #expect(run.exit == 0 && run.output.contains("/dev/pts/") && run.output.contains("33 101"), "\(run.output)")
  }

  @Test("two labs side by side: none named is a usage error that lists both")
  func twoLabs() throws {
    let bench = try Bench()
    let labs = ["ct-one-\(getpid())", "ct-two-\(getpid())"]
    for lab in labs { _ = try bench.up(lab, "topology: {nodes: {h: {kind: host}}}\n") }
    let run = try bench.netloom(["down"])
    #expect(run.exit == 2 && labs.allSatisfy { run.errors.contains($0) }, "\(run.errors)")
    for words in ["down no-such", "down --lab no-such", "ls --lab no-such", "status no-such"] {
      let run = try bench.netloom(words.split(separator: " ").map(String.init))
      #expect(run.exit == 1 && run.errors.contains("no lab no-such; running: "), "\(words): \(run.errors)")
      #expect(labs.allSatisfy { run.errors.contains($0) }, "\(run.errors)")
    }
    let list = try bench.netloom(["ls", "-o", "json"])
    #expect(labs.allSatisfy { list.output.contains($0) })
    for lab in labs { #expect(try bench.netloom(["down", "--lab", lab]).exit == 0) }
    let rest = try bench.netloom(["ls", "-o", "json"]).output
    #expect(!labs.contains { rest.contains($0) })
  }

  @Test("completion scripts are there, and help says how to get them", arguments: ["bash", "zsh", "fish"])
  func completion(shell: String) throws {
    let bench = try Bench()
    let script = try bench.netloom(["--generate-completion-script", shell])
    #expect(script.exit == 0 && script.output.contains("netloom"), "\(script.errors)")
    #expect(try bench.netloom(["--help"]).output.contains("--generate-completion-script"))
  }

  @Test("doctor names what this kernel lacks and what falls back")
  func doctor() throws {
    let bench = try Bench()
    let run = try bench.netloom(["doctor"])
    #expect(run.exit == 0, "\(run.errors)")
    for word in ["netem", "fq", "vrf"] { #expect(run.output.lowercased().contains(word), "\(word)") }
    let json = try bench.netloom(["doctor", "-o", "json"]).output
    #expect((try? JSONSerialization.jsonObject(with: Data(json.utf8))) != nil)
  }
}
