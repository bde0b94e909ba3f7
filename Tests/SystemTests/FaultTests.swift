import Foundation
import Testing

/// What is killed comes back, or takes everything with it: by design, and within a time.
@Suite(.serialized) struct FaultTests {
  static let triangle = """
    topology:
      nodes:
        h1: {kind: host}
        h2: {kind: host}
        a: {kind: router, asn: 64500, networks: [192.0.2.0/24]}
        b: {kind: router, asn: 64501, networks: [198.51.100.0/24]}
        c: {kind: router, asn: 64502, networks: [203.0.113.0/24]}
      links:
        - {endpoints: ["a:eth1", "b:eth1"], relation: open}
        - {endpoints: ["b:eth2", "c:eth1"], relation: open}
        - {endpoints: ["a:eth2", "c:eth2"], relation: open}
        - {endpoints: ["h1:eth1", "a:eth3"], addresses: [[192.0.2.2/24], [192.0.2.1/24]]}
        - {endpoints: ["h2:eth1", "b:eth3"], addresses: [[198.51.100.2/24], [198.51.100.1/24]]}

    """

  @Test("kill -9 of the lab's init leaves nothing within a second", .enabled(if: Command.isRoot, "needs root"))
  func initKilled() throws {
    let bench = try Bench()
    let lab = "ft-init-\(getpid())"
    let status = try bench.up(lab, Self.triangle)
    let pids = status.nodes.map(\.pid) + [status.pid, status.controller.pid]
    #expect(pids.allSatisfy(isAlive))
    kill(status.pid, SIGKILL)
    #expect(bench.eventually(1) { !pids.contains(where: isAlive) }, "processes are left")
    #expect(
      bench.eventually(1) {
        !FileManager.default.fileExists(atPath: "/run/netloom/\(lab)/api.sock")
          && !FileManager.default.fileExists(atPath: "/run/netns/\(lab).a")
      }, "names are left")
    #expect(try bench.netloom(["up", "\(bench.directory)/\(lab).yaml"]).exit == 0, "the name can be taken again")
  }

  @Test("a route that somebody deletes on a host is put back", .enabled(if: Command.isRoot, "needs root"))
  func hostRoute() throws {
    let bench = try Bench()
    let lab = "ft-route-\(getpid())"
    _ = try bench.up(lab, Self.triangle)
    let enter = "ip netns exec \(lab).h1"
    let before = try Command.shell("\(enter) ip route; \(enter) ip -6 route show default").output
    #expect(before.contains("default via 192.0.2.1"))
    #expect(try Command.shell("\(enter) ip route del default && \(enter) ip -6 route del default").exit == 0)
    #expect(
      try bench.eventually(5) {
        try Command.shell("\(enter) ip route; \(enter) ip -6 route show default").output == before
      })
  }

  @Test("a killed controller is back within 3 s and adopts what runs")
  func controllerKilled() throws {
    let bench = try Bench()
    let lab = "ft-ctl-\(getpid())"
    let before = try bench.up(lab, Self.triangle)
    kill(before.controller.pid, SIGKILL)
    #expect(
      try bench.eventually(3) {
        let run = try bench.netloom(["status", "--lab", lab, "-o", "json"])
        guard run.exit == 0, let now = try? JSONDecoder().decode(Status.self, from: Data(run.output.utf8)) else {
          return false
        }
        return now.converged && now.controller.pid != before.controller.pid
          && now.nodes.map(\.pid) == before.nodes.map(\.pid)
      }, "adopted")
  }

  @Test("traffic loses nothing while the controller is away")
  func controllerKilledTraffic() throws {
    let bench = try Bench()
    let lab = "ft-loss-\(getpid())"
    let status = try bench.up(lab, Self.triangle)
    let output = "\(bench.directory)/ping"
    let pinger = Process()
    pinger.executableURL = URL(fileURLWithPath: Command.netloom)
    pinger.arguments = ["exec", "--lab", lab, "h1", "--", "sh", "-c", "ping -i 0.01 -c 200 198.51.100.2 > \(output)"]
    try pinger.run()
    #expect(
      bench.eventually(5) { ((try? String(contentsOfFile: output, encoding: .utf8)) ?? "").contains("icmp_seq=10 ") })
    kill(status.controller.pid, SIGKILL)
    pinger.waitUntilExit()
    #expect(try String(contentsOfFile: output, encoding: .utf8).contains(" 0% packet loss"))
  }

  @Test("a killed node process keeps its kernel routes, costs its neighbors none, and its sessions are back within 5 s")
  func nodeKilled() throws {
    let bench = try Bench()
    let lab = "ft-node-\(getpid())"
    let before = try bench.up(lab, Self.triangle)
    let monitorLog = "\(bench.directory)/monitor"
    // The kernel's own record of what happens to a neighbor's routes while a's process dies and comes back.
    let monitor = Process()
    monitor.executableURL = URL(fileURLWithPath: Command.netloom)
    monitor.arguments = [
      "exec", "--lab", lab, "b", "--", "sh", "-c", "exec timeout 20 ip -o monitor route > \(monitorLog)",
    ]
    try monitor.run()
    let routes = {
      try bench.netloom(["exec", "--lab", lab, "a", "--", "ip", "-o", "route", "show", "proto", "bgp"]).output
    }
    let held = try routes()
    #expect(held.contains("198.51.100.0/24"))
    let victim = try before.node("a").pid
    kill(victim, SIGKILL)
    let prefixes = { (text: String) in Set(text.split(separator: "\n").compactMap { $0.split(separator: " ").first }) }
    let kept = try routes()
    #expect(prefixes(kept) == prefixes(held), "kernel routes stay: \(held) became \(kept)")
    #expect(
      try bench.eventually(5) {
        let now = try bench.status(lab)
        return now.converged && now.nodes.contains { $0.name == "a" && $0.pid != victim }
          && now.sessions.filter { $0.node == "a" || $0.neighbor == "a" }.allSatisfy { $0.state == "established" }
      }, "sessions are back: \((try? bench.netloom(["status", "--lab", lab]).output) ?? "")")
    #expect(try routes().contains("198.51.100.0/24"))
    monitor.terminate()
    monitor.waitUntilExit()
    let record = try String(contentsOfFile: monitorLog, encoding: .utf8)
    #expect(
      !record.split(separator: "\n").contains { $0.hasPrefix("Deleted") && $0.contains("192.0.2.0/24") }, "\(record)")
  }

  @Test("a taken name is refused, and replaced when asked")
  func takenName() throws {
    let bench = try Bench()
    let lab = "ft-name-\(getpid())"
    let first = try bench.up(lab, Self.triangle)
    let again = try bench.netloom(["up", "\(bench.directory)/\(lab).yaml"])
    #expect(again.exit == 1 && again.errors.contains(lab), "\(again.errors)")
    #expect(try bench.status(lab).pid == first.pid)
    #expect(try bench.netloom(["up", "\(bench.directory)/\(lab).yaml", "--replace"]).exit == 0)
    #expect(try bench.status(lab).pid != first.pid)
    #expect(try bench.netloom(["down", "--lab", lab]).exit == 0)
    #expect(!isAlive(first.pid))
  }
}
