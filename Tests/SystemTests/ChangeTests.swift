import Foundation
import Testing

/// Changes of a running lab: what the kernels hold afterwards, read by nft, tc and ip.
@Suite(.serialized, .enabled(if: Command.isRoot, "reads namespaces by ip netns exec")) struct ChangeTests {
  ///  h1 ─ edge ═ core ─ h2
  static let office = """
    addressing: {ipv6: false}
    topology:
      nodes:
        h1: {kind: host}
        h2: {kind: host}
        edge:
          kind: router
          routes: [{to: 198.51.100.0/24, via: core}]
          nat: [{masquerade: {out: up, from: 192.168.1.0/24}}]
          filter:
            - {match: {in: up, proto: tcp, port: 2222}, then: accept}
            - {match: {in: up, state: new}, then: drop}
            - {otherwise: accept}
          qos:
            up: {egress: {shape: {rate: 20mbit}, classes: [{name: voice, match: {dscp: ef}, rate: 2mbit, priority: 1}]}}
        core: {kind: router}
      links:
        - {endpoints: ["h1:eth1", "edge:lan"], addresses: [[192.168.1.2/24], [192.168.1.1/24]]}
        - {endpoints: ["edge:up", "core:eth1"], addresses: [[203.0.113.1/30], [203.0.113.2/30]]}
        - {endpoints: ["core:eth2", "h2:eth1"], addresses: [[198.51.100.1/24], [198.51.100.2/24]]}

    """

  /// Everything that a change may touch, as other programs read it.
  private func kernel(_ lab: String, _ nodes: [String] = ["h1", "h2", "edge", "core"]) throws -> String {
    try nodes.map { node in
      let enter = "ip netns exec \(lab).\(node)"
      let read = try Command.shell(
        "\(enter) nft -s list ruleset; \(enter) tc qdisc show; for i in $(\(enter) ls /sys/class/net); do \(enter) tc class show dev $i; done; \(enter) ip rule; \(enter) ip -6 rule; \(enter) ip -4 route show table all; \(enter) sysctl -n net.ipv4.tcp_congestion_control"
      )
      try #require(read.exit == 0, "\(read.errors)")
      return "== \(node)\n\(read.output)"
    }.joined()
  }

  private func history(_ bench: Bench, _ lab: String) throws -> [[String: Any]] {
    let run = try bench.netloom(["history", "--lab", lab, "-o", "json"])
    try #require(run.exit == 0, "\(run.errors)")
    return try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [[String: Any]])
  }

  private func drift(_ bench: Bench, _ lab: String, repair: Bool = false) throws -> (exit: Int32, [String: Any]) {
    let run = try bench.netloom(["drift", "--lab", lab, "-o", "json"] + (repair ? ["--repair"] : []))
    let answer = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
    return (run.exit, try #require(answer, "\(run.output)\(run.errors)"))
  }

  @Test("after a rollback nft, tc and ip read the same bytes as before")
  func rollback() throws {
    let bench = try Bench()
    let lab = "ct-back-\(getpid())"
    _ = try bench.up(lab, Self.office)
    let before = try kernel(lab)
    #expect(before.contains("masquerade") && before.contains("htb") && before.contains("dport 2222"), "\(before)")
    let change = try bench.file(
      "change.yaml",
      """
      topology:
        nodes:
          edge:
            nat: [{snat: {out: up, from: 192.168.1.0/24, to: 203.0.113.1}}]
            filter: [{otherwise: accept}]
            qos: {up: {egress: {shape: {rate: 5mbit}}, ingress: {police: {rate: 8mbit}}}}
            congestion: reno
          core: {filter: [{match: {proto: tcp, port: 23}, then: reject}, {otherwise: accept}]}
          h2: {filter: [{match: {proto: udp, port: 9}, then: drop}, {otherwise: accept}]}
      """)
    let plan = try bench.netloom(["plan", change, "--lab", lab])
    #expect(plan.exit == 0 && plan.output.contains("203.0.113.1") && plan.output.contains("h2"), "\(plan.output)")
    #expect(try kernel(lab) == before, "a plan touches nothing")
    let applied = try bench.netloom(["apply", change, "--lab", lab])
    try #require(applied.exit == 0, "\(applied.errors)")
    let after = try kernel(lab)
    for part in ["snat", "203.0.113.1", "dport 23", "dport 9", "5Mbit", "reno"] {
      #expect(after.contains(part), "\(part) in \(after)")
    }
    #expect(!after.contains("masquerade") && !after.contains("htb"), "\(after)")
    let back = try bench.netloom(["rollback", "--lab", lab])
    try #require(back.exit == 0, "\(back.errors)")
    #expect(try kernel(lab) == before)
    let versions = try history(bench, lab)
    #expect(versions.compactMap { $0["version"] as? Int } == [3, 2, 1])
    #expect(versions.map { $0["current"] as? Bool ?? false } == [true, false, false])
  }

  @Test("what one node's kernel refuses changes nothing anywhere, and the line is named")
  func refused() throws {
    let bench = try Bench()
    let lab = "ct-no-\(getpid())"
    _ = try bench.up(lab, Self.office)
    let before = try kernel(lab)
    let change = try bench.file(
      "change.yaml",
      """
      topology:
        nodes:
          core: {filter: [{match: {proto: tcp, port: 23}, then: drop}, {otherwise: accept}]}
          edge:
            congestion: nosuch
      """)
    let run = try bench.netloom(["apply", change, "--lab", lab])
    #expect(run.exit == 1 && run.errors.contains("edge") && run.errors.contains("nosuch"), "\(run.errors)")
    #expect(run.errors.contains("change.yaml:5:"), "the line is named: \(run.errors)")
    #expect(try bench.netloom(["apply", change, "--dry-run", "--lab", lab]).exit == 1, "refused before any commit")
    #expect(try kernel(lab) == before)
    #expect(try history(bench, lab).count == 1)
    let wrong = try bench.file(
      "wrong.yaml", "topology:\n  nodes:\n    edge:\n      nat: [{masquerade: {out: upp}}]\n    core: {asn: 5}\n")
    let refused = try bench.netloom(["apply", wrong, "--lab", lab])
    #expect(refused.exit == 2, "\(refused.errors)")
    #expect(refused.errors.contains("wrong.yaml:4:"), "\(refused.errors)")
    #expect(refused.errors.contains("did you mean `up`"), "\(refused.errors)")
    #expect(refused.errors.contains("wrong.yaml:5:"), "every mistake at once: \(refused.errors)")
    #expect(try kernel(lab) == before)
  }

  @Test("what the kernel lacks is refused by name before anything is made")
  func lacking() throws {
    let bench = try Bench()
    let lab = "ct-ecn-\(getpid())"
    let file = try bench.file(
      "ecn.yaml",
      """
      name: \(lab)
      topology:
        nodes:
          a: {kind: host, qos: {eth1: {egress: {shape: {rate: 10mbit, ecn: true}}}}}
          b: {kind: host}
        links: [{endpoints: ["a:eth1", "b:eth1"]}]
      """)
    let up = try bench.netloom(["up", file])
    if up.exit == 0 {
      #expect(try Command.shell("ip netns exec \(lab).a tc qdisc show dev eth1").output.contains("codel"))
      #expect(try bench.netloom(["down", "--lab", lab]).exit == 0)
    } else {
      #expect(up.exit == 3 && up.errors.contains("codel") && up.errors.contains("ecn.yaml:4:"), "\(up.errors)")
      #expect(try !bench.netloom(["ls"]).output.contains(lab))
    }
  }

  @Test("drift is missing, changed and excess; repair mends ours and leaves what is others'")
  func repair() throws {
    let bench = try Bench()
    let lab = "ct-drift-\(getpid())"
    _ = try bench.up(lab, Self.office)
    let before = try kernel(lab, ["edge"])
    #expect(try drift(bench, lab).exit == 0)
    let enter = "ip netns exec \(lab).edge"
    let rule = try Command.shell(
      "\(enter) nft -a list ruleset | sed -n '/dport 2222/s/.*handle //p' | head -1; \(enter) nft -a list ruleset | awk '/chain /{c=$2} /dport 2222/{print c; exit}'"
    ).output.split(separator: "\n").map(String.init)
    try #require(rule.count == 2, "\(rule)")
    let harm = try Command.shell(
      """
      set -e
      \(enter) nft delete rule inet netloom \(rule[1]) handle \(rule[0])
      \(enter) nft add rule inet netloom \(rule[1]) tcp dport 4444 drop
      \(enter) nft add table inet mine
      \(enter) nft add chain inet mine c
      \(enter) tc qdisc del dev up root
      \(enter) ip addr del 192.168.1.1/24 dev lan
      """)
    try #require(harm.exit == 0, "\(harm.errors)")
    let (exit, found) = try drift(bench, lab)
    #expect(exit == 1)
    let items = try #require(found["drift"] as? [[String: Any]])
    func has(_ kind: String, _ type: String, _ text: String) -> Bool {
      items.contains {
        $0["kind"] as? String == kind && $0["type"] as? String == type && $0["node"] as? String == "edge"
          && ($0["what"] as? String ?? "").contains(text)
      }
    }
    #expect(has("missing", "nft", "2222"), "\(items)")
    #expect(has("excess", "nft", "4444"), "\(items)")
    #expect(has("missing", "tc", "up"), "\(items)")
    #expect(has("missing", "address", "192.168.1.1"), "\(items)")
    let foreign = try #require(found["foreign"] as? [[String: Any]])
    #expect(foreign.contains { ($0["what"] as? String ?? "").contains("mine") }, "\(foreign)")
    #expect(try Command.shell("\(enter) ip addr add 192.168.1.1/24 dev lan").exit == 0)
    #expect(try drift(bench, lab, repair: true).exit == 0)
    #expect(try Command.shell("\(enter) nft list tables").output.contains("table inet mine"))
    #expect(try Command.shell("\(enter) nft delete table inet mine").exit == 0)
    #expect(try kernel(lab, ["edge"]) == before)
  }

  @Test("rules that drop everything on every node do not cut the controller off")
  func reach() throws {
    let bench = try Bench()
    let lab = "ct-reach-\(getpid())"
    _ = try bench.up(lab, Self.office)
    let before = try kernel(lab)
    let nothing = """
      {filter: [{match: {out: eth1}, then: drop}, {otherwise: drop}]}
      """
    let change = try bench.file(
      "change.yaml",
      """
      topology:
        nodes:
          h1: \(nothing)
          h2: \(nothing)
          core: \(nothing)
          edge: \(nothing.replacingOccurrences(of: "eth1", with: "[lan, up]"))
      """)
    let applied = try bench.netloom(["apply", change, "--lab", lab])
    #expect(applied.exit == 0, "\(applied.errors)")
    #expect(try bench.netloom(["trace", "--lab", lab, "h1", "h2"]).exit == 1, "nothing passes")
    #expect(try drift(bench, lab).exit == 0)
    #expect(try bench.netloom(["show", "filter", "core", "--lab", lab]).exit == 0)
    #expect(try bench.netloom(["rollback", "--lab", lab]).exit == 0)
    #expect(try kernel(lab) == before)
  }

  @Test("a change that nobody confirms takes itself back")
  func unconfirmed() throws {
    let bench = try Bench()
    let lab = "ct-conf-\(getpid())"
    _ = try bench.up(lab, Self.office)
    let before = try kernel(lab)
    let change = try bench.file(
      "change.yaml", "topology: {nodes: {core: {filter: [{match: {proto: tcp, port: 23}, then: drop}]}}}\n")
    #expect(try bench.netloom(["apply", change, "--lab", lab, "--confirm-within", "1s"]).exit == 0)
    #expect(try kernel(lab) != before)
    #expect(try bench.eventually(10) { try kernel(lab) == before })
    #expect(try history(bench, lab).compactMap { $0["version"] as? Int } == [3, 2, 1])
    #expect(try bench.netloom(["confirm", "--lab", lab]).exit == 1, "nothing waits any more")
    #expect(try bench.netloom(["apply", change, "--lab", lab, "--confirm-within", "60s"]).exit == 0)
    #expect(try bench.netloom(["apply", change, "--lab", lab]).exit == 1, "one change at a time")
    #expect(try bench.netloom(["confirm", "--lab", lab]).exit == 0)
    #expect(try kernel(lab) != before)
  }

  @Test("whatever is killed in the middle of an apply, all nodes end in one whole version")
  func killMatrix() throws {
    let run = try Command.run(
      "python3", ["\(Command.checkout)/bench/sdn.py", "kill", "12"], environment: ["NETLOOM": Command.netloom],
      seconds: 300)
    #expect(run.exit == 0 && run.output.contains("12 runs, 0 bad"), "\(run.output)\n\(run.errors)")
  }

  @Test("metrics and the event stream come over the API's socket")
  func api() throws {
    let bench = try Bench()
    let lab = "ct-api-\(getpid())"
    _ = try bench.up(lab, Self.office)
    let curl = "curl -sS --max-time 10 --unix-socket /run/netloom/\(lab)/api.sock"
    let metrics = try Command.shell("\(curl) http://lab/metrics").output
    #expect(metrics.contains("# TYPE netloom_") && metrics.contains("node=\"edge\""), "\(metrics)")
    let stream = try Command.shell("\(curl) -N http://lab/v1/events/stream | head -6").output
    #expect(stream.contains("data: {"), "\(stream)")
    let port = 20_000 + Int(getpid()) % 20_000
    let second = try bench.file("tcp.yaml", "name: \(lab)-tcp\n" + Self.office)
    #expect(try bench.netloom(["up", second, "--api-port", "\(port)"]).exit == 0)
    defer { _ = try? bench.netloom(["down", "--lab", "\(lab)-tcp"]) }
    let tcp = "curl -sS --max-time 10 -o /dev/null -w '%{http_code}'"
    #expect(try Command.shell("\(tcp) http://127.0.0.1:\(port)/v1/status").output == "401")
    let token = "\"Authorization: Bearer $(cat /run/netloom/\(lab)-tcp/api.token)\""
    #expect(try Command.shell("\(tcp) -H \(token) http://127.0.0.1:\(port)/v1/status").output == "200")
    let unknown = try Command.shell("\(curl) -o /dev/null -w '%{http_code}' http://lab/v1/nodes/nobody/nat").output
    #expect(unknown == "404")
  }
}
