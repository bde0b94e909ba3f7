import Foundation
import Testing

/// The same product without root: user namespaces, no set-uid helper. Run as nobody when the tests run as root.
@Suite(.serialized) struct OrdinaryUserTests {
  @Test("a lab comes up, converges, is traced, captured, entered and taken away without root")
  func wholeLife() throws {
    let bench = try Bench(ordinary: true)
    let lab = "ou-\(getpid())"
    let status = try bench.up(lab, CommandTests.pair)
    #expect(status.converged && status.nodes.count == 4)
    let trace = try bench.netloom(["trace", "--lab", lab, "h1", "h2", "--proto", "tcp", "--port", "80"])
    #expect(trace.exit == 0, "\(trace.output)\(trace.errors)")
    let exec = try bench.netloom(["exec", "--lab", lab, "a", "--", "ip", "-o", "route", "show", "proto", "bgp"])
    #expect(exec.exit == 0 && exec.output.contains("198.51.100.0/24"), "\(exec.errors)")
    let capture = try bench.netloom(["capture", "--lab", lab, "a", "-w", "a.pcapng", "--for", "1s"])
    #expect(capture.exit == 0, "\(capture.errors)")
    #expect(try Command.run("capinfos", ["\(bench.directory)/a.pcapng"]).exit == 0)
    #expect(try bench.netloom(["down", "--lab", lab]).exit == 0)
    #expect(!isAlive(status.pid))
  }

  @Test("the sample topology gives its verdict without root")
  func dualISP() throws {
    let bench = try Bench(ordinary: true)
    let copy = try bench.file(
      "dual-isp.yaml", String(contentsOfFile: "\(Command.checkout)/topologies/dual-isp.yaml", encoding: .utf8))
    let run = try bench.netloom(["test", copy])
    #expect(run.exit == 0, "\(run.output)\n\(run.errors)")
  }

  @Test("paths are changed on all nodes or none without root")
  func changes() throws {
    let bench = try Bench(ordinary: true)
    let run = try bench.netloom(["test", "\(Command.checkout)/topologies/sdn-path-steering.yaml"])
    #expect(run.exit == 0, "\(run.output)\n\(run.errors)")
  }

  @Test("kill -9 of the init leaves nothing without root either")
  func initKilled() throws {
    let bench = try Bench(ordinary: true)
    let lab = "ou-kill-\(getpid())"
    let status = try bench.up(lab, CommandTests.pair)
    let pids = status.nodes.map(\.pid) + [status.controller.pid]
    kill(status.pid, SIGKILL)
    #expect(bench.eventually(1) { !pids.contains(where: isAlive) })
  }
}
