import Foundation
import Testing

/// Verdicts on whole labs, and faults of links, on real kernels.
@Suite(.serialized) struct CheckTests {
  private struct Report: Decodable {
    struct Check: Decodable {
      struct Violation: Decodable {
        var severity: String
        var node: String
        var because: String
        var prefix: String?
      }
      var check: String
      var holds: Bool
      var undecided: String?
      var violations: [Violation]
      var examined: Int
    }
    var checks: [Check]

    func check(_ word: String) throws -> Check { try #require(checks.first { $0.check == word }) }
  }

  private func report(_ bench: Bench, _ lab: String, _ words: [String] = []) throws -> (Report, Int32) {
    let run = try bench.netloom(["check", "--lab", lab, "-o", "json"] + words)
    return (try JSONDecoder().decode(Report.self, from: Data(run.output.utf8)), run.exit)
  }

  /// A topology of the product under a name of its own.
  private func up(_ bench: Bench, _ topology: String, as name: String) throws {
    let text = try String(contentsOfFile: "\(Command.checkout)/topologies/\(topology).yaml", encoding: .utf8)
    let body = text.split(separator: "\n", omittingEmptySubsequences: false).filter { !$0.hasPrefix("name:") }
    _ = try bench.up(name, body.joined(separator: "\n"))
  }

  @Test func `a leak is found with the router that leaked, and that packets take it`() throws {
    let bench = try Bench()
    let lab = "ck-leak-\(getpid())"
    try up(bench, "transit-leak", as: lab)
    let (report, exit) = try report(bench, lab, ["valley-free", "no-transit", "no-loops", "fib-equals-rib"])
    #expect(exit == 1)
    let valley = try report.check("valley-free")
    #expect(!valley.holds && valley.undecided == nil)
    #expect(valley.violations.contains { $0.severity == "failure" && $0.node == "customer" && $0.because == "leak" })
    #expect(try report.check("no-transit").violations.contains { $0.severity == "failure" && $0.node == "customer" })
    #expect(try report.check("no-loops").holds && report.check("fib-equals-rib").holds)
  }

  @Test func `a lab that is well holds, and says how much was looked at; its way back may still differ`() throws {
    let bench = try Bench()
    let lab = "ck-well-\(getpid())"
    try up(bench, "dual-isp", as: lab)
    let (report, _) = try report(bench, lab)
    for word in ["no-loops", "valley-free", "no-transit", "reachability", "no-blackhole", "fib-equals-rib"] {
      let check = try report.check(word)
      #expect(check.holds && check.undecided == nil && check.examined > 0, "\(check)")
    }
    #expect(try report.checks.count == 7 && !report.check("symmetric").holds)
  }

  @Test(
    "routes by hand that loop are found in the kernels, and a lost one is a black hole",
    .enabled(if: Command.isRoot, "enters namespaces"))
  func byHand() throws {
    let bench = try Bench()
    let lab = "ck-hand-\(getpid())"
    _ = try bench.up(lab, FaultTests.triangle)
    let enter = { (node: String) in "ip netns exec \(lab).\(node) " }
    // 203.0.113.0/24 is c's. a and b send it to each other, by better routes than BGP's.
    let gateways = try Command.shell(
      enter("a") + "ip -j -4 route get 198.51.100.1 | grep -o '\"gateway\":\"[^\"]*'; " + enter("b")
        + "ip -j -4 route get 192.0.2.1 | grep -o '\"gateway\":\"[^\"]*'"
    ).output.split(separator: "\n").map { $0.split(separator: "\"").last.map(String.init) ?? "" }
    try #require(gateways.count == 2)
    _ = try Command.shell(
      enter("a") + "ip route add 203.0.113.0/25 via \(gateways[0]) && " + enter("b")
        + "ip route add 203.0.113.0/25 via \(gateways[1])")
    let looping = try report(bench, lab, ["no-loops"])
    let loops = try looping.0.check("no-loops")
    #expect(looping.1 == 1 && !loops.holds)
    #expect(loops.violations.allSatisfy { ["a", "b"].contains($0.node) && $0.prefix == "203.0.113.0/25" })
    _ = try Command.shell(
      enter("b") + "ip route del 203.0.113.0/25 && " + enter("b") + "ip route add unreachable 203.0.113.0/25")
    let holes = try report(bench, lab, ["no-blackhole"]).0.check("no-blackhole")
    #expect(holes.violations.map(\.node) == ["b"] && holes.violations.first?.because == "unreachable")
  }

  @Test func `loss one way loses what goes that way, a rate holds back, and mend takes both away`() throws {
    let bench = try Bench()
    let lab = "ck-loss-\(getpid())"
    _ = try bench.up(lab, FaultTests.triangle)
    let ping = { () throws -> Int in
      let said = try bench.netloom([
        "exec", "h1", "--lab", lab, "--", "ping", "-q", "-i", "0.01", "-W", "1", "-c", "200", "192.0.2.1",
      ])
      let words = said.output.split(separator: " ")
      let at = try #require(words.firstIndex(of: "received,"), "\(said)")
      return try #require(Int(words[at - 1]))
    }
    let fault = { (words: [String]) throws -> Int32 in try bench.netloom(["fault", "--lab", lab] + words).exit }
    #expect(try ping() == 200)
    #expect(try fault(["loss", "h1:eth1", "a:eth3", "30%", "--from", "h1"]) == 0)
    // Binomial, n 200, p 0.7: mean 140, deviation 6.5; six deviations.
    #expect((101...179).contains(try ping()))
    #expect(try bench.netloom(["drift", "--lab", lab]).exit == 0, "a fault is no drift")
    #expect(try fault(["rate", "h1:eth1", "a:eth3", "5mbit"]) == 0)
    #expect(try bench.netloom(["show", "qos", "a", "--lab", lab]).output.contains("5"))
    #expect(try fault(["delay", "h1:eth1", "a:eth3", "10ms"]) != 0, "the link declares no delay")
    #expect(try fault(["mend"]) == 0)
    #expect(try ping() == 200)
    #expect(try bench.netloom(["drift", "--lab", lab]).exit == 0)
  }
}
