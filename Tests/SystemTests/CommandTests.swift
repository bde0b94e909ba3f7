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
    let nearest = try bench.netloom(["exec", "--lab", lab, "h3", "--", "true"])
    #expect(nearest.exit != 0 && nearest.errors.contains("h1"), "\(nearest.errors)")
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
    let list = try bench.netloom(["ls", "-o", "json"])
    #expect(labs.allSatisfy { list.output.contains($0) })
    for lab in labs { #expect(try bench.netloom(["down", "--lab", lab]).exit == 0) }
    let rest = try bench.netloom(["ls", "-o", "json"]).output
    #expect(!labs.contains { rest.contains($0) })
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
