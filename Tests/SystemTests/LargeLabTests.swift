import Foundation
import Testing

/// Labs of many routers, whose agents are forked from one warm process instead of executed.
@Suite struct LargeLabTests {
  /// A ring of routers, each an AS of its own.
  static func ring(_ count: Int) -> String {
    let nodes = (1...count).map { "    r\($0): {kind: router, asn: \(64511 + $0), networks: [172.16.0.\($0)/32]}" }
    let links = (1...count).map { "    - {endpoints: [\"r\($0):r\", \"r\($0 % count + 1):l\"], relation: open}" }
    return "topology:\n  nodes:\n\(nodes.joined(separator: "\n"))\n  links:\n\(links.joined(separator: "\n"))\n"
  }

  @Test("agents of a large lab stand in their own namespaces, are the init's children, share memory, and come back")
  func forkedAgents() throws {
    let bench = try Bench()
    let lab = "ll-\(getpid())"
    let status = try bench.up(lab, Self.ring(20))
    #expect(status.converged && status.nodes.allSatisfy { $0.state == "running" })
    let namespaces = try status.nodes.map {
      try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\($0.pid)/ns/net")
    }
    #expect(Set(namespaces).count == 20)
    for node in status.nodes {
      let command = try String(contentsOfFile: "/proc/\(node.pid)/cmdline", encoding: .utf8)
      #expect(command.contains("--node \(node.name) "), "forked: its arguments are one text, not a list: \(command)")
      let stat = try String(contentsOfFile: "/proc/\(node.pid)/stat", encoding: .utf8)
      let parent = stat.split(separator: ")").last?.split(separator: " ").dropFirst().first
      #expect(parent.map(String.init) == "\(status.pid)")
      // Epoll, timers, netlink, the controller, two listeners and two sessions: no descriptor of another agent.
      #expect(try FileManager.default.contentsOfDirectory(atPath: "/proc/\(node.pid)/fd").count < 30)
    }
    let victim = try status.node("r7")
    kill(victim.pid, SIGKILL)
    #expect(
      try bench.eventually(10) {
        let now = try bench.status(lab)
        return now.converged && now.nodes.contains { $0.name == "r7" && $0.pid != victim.pid && $0.pid > 0 }
      }, "executed anew")
  }
}
