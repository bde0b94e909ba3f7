import Foundation
import Testing

/// A run of tests that a signal ends has reports all the same, and the exit code of the signal.
@Suite(.serialized) struct InterruptionTests {
  @Test(
    "an interrupted run writes its reports: what was done, what was under way, what was not run",
    arguments: [SIGINT, SIGTERM])
  func interruptedTests(signal: Int32) throws {
    let bench = try Bench()
    let lab = "it-test-\(signal)-\(getpid())"
    let begun = try Signpost("\(bench.directory)/begun")
    let file = try bench.file(
      "tests.yaml",
      """
      name: \(lab)
      topology: {nodes: {h: {kind: host}}}
      tests:
        - {name: done before, steps: [{exec: {node: h, command: "true"}}]}
        - {name: under way, steps: [{exec: {node: h, command: "echo >\(begun.path); sleep 100"}}]}
        - {name: never begun, steps: [{exec: {node: h, command: "true"}}]}

      """)
    let other = try bench.file(
      "other.yaml",
      "name: \(lab)-b\ntopology: {nodes: {h: {kind: host}}}\n"
        + "tests: [{name: of the next file, steps: [{exec: {node: h, command: \"true\"}}]}]\n")
    let run = Process()
    run.executableURL = URL(fileURLWithPath: Command.netloom)
    run.currentDirectoryURL = URL(fileURLWithPath: bench.directory)
    run.arguments = [
      "test", file, other, "--junit", "report.xml", "--html", "report.html", "--markdown", "report.md", "--tap",
      "report.tap",
    ]
    run.standardOutput = FileHandle.nullDevice
    run.standardError = FileHandle.nullDevice
    try run.run()
    #expect(begun.isReached(within: 60))
    kill(run.processIdentifier, signal)
    run.waitUntilExit()
    #expect(run.terminationReason == .exit && run.terminationStatus == 128 + signal, "\(run.terminationStatus)")
    #expect(try !bench.netloom(["ls", "-o", "json"]).output.contains(lab))
    // The second source of the document's meaning: an XML reader of others.
    let script = """
      import sys, xml.etree.ElementTree as tree
      for case in tree.parse(sys.argv[1]).getroot().iter('testcase'):
          print(case.get('name'), *[f'{child.tag} {child.get("message")}' for child in case], sep='|')
      """
    let read = try Command.run("python3", ["-c", script, "\(bench.directory)/report.xml"])
    #expect(
      read.output == """
        done before
        under way|error interrupted
        never begun|skipped not run: the run was interrupted
        of the next file|skipped not run: the run was interrupted

        """, "\(read.output)\(read.errors)")
    let html = try String(contentsOfFile: "\(bench.directory)/report.html", encoding: .utf8)
    #expect(html.contains("never begun") && html.contains(#"<b class="badge not-run">not run</b>"#))
    let markdown = try String(contentsOfFile: "\(bench.directory)/report.md", encoding: .utf8)
    #expect(markdown.contains("1 of 4 tests hold") && markdown.contains("not run"), "\(markdown)")
    let tap = try String(contentsOfFile: "\(bench.directory)/report.tap", encoding: .utf8)
    #expect(
      tap.contains("ok 3 - \(lab): never begun # SKIP ") && tap.contains("not ok 2 - \(lab): under way"), "\(tap)")
  }

  @Test("a run that is interrupted before its lab stands says so in its report")
  func interruptedStart() throws {
    let bench = try Bench()
    let lab = "it-start-\(getpid())"
    let begun = try Signpost("\(bench.directory)/begun")
    let file = try bench.file(
      "tests.yaml",
      "name: \(lab)\ntopology: {nodes: {h: {kind: host, exec: [\"echo >\(begun.path); sleep 100\"]}}}\n"
        + "tests: [{name: x, steps: [{exec: {node: h, command: \"true\"}}]}]\n")
    let run = Process()
    run.executableURL = URL(fileURLWithPath: Command.netloom)
    run.currentDirectoryURL = URL(fileURLWithPath: bench.directory)
    run.arguments = ["test", file, "--junit", "report.xml"]
    run.standardOutput = FileHandle.nullDevice
    run.standardError = FileHandle.nullDevice
    try run.run()
    #expect(begun.isReached(within: 60))
    kill(run.processIdentifier, SIGINT)
    run.waitUntilExit()
    #expect(run.terminationReason == .exit && run.terminationStatus == 128 + SIGINT, "\(run.terminationStatus)")
    let report = try String(contentsOfFile: "\(bench.directory)/report.xml", encoding: .utf8)
    #expect(report.contains(#"message="interrupted""#) && report.contains("<skipped "), "\(report)")
    #expect(!report.contains("<failure"))
  }
}

/// A named pipe that a process of a lab writes into when it is where the test waits for it.
private final class Signpost {
  let path: String
  private let descriptor: Int32

  init(_ path: String) throws {
    self.path = path
    try #require(mkfifo(path, 0o600) == 0)
    descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    try #require(descriptor >= 0)
  }

  deinit { close(descriptor) }

  func isReached(within seconds: Int32) -> Bool {
    var ready = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&ready, 1, seconds * 1000) == 1
  }
}
