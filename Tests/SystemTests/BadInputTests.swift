import Foundation
import Testing

/// A file that is wrong stops before anything is started: exit 2, its place, the right word.
@Suite(.serialized) struct BadInputTests {
  @Test(
    "a broken file is refused with its place and nothing is started",
    arguments: [
      ("unknown-key", "name: x\ntopology:\n  nodes:\n    a: {kind: router, azn: 65001}\n", ":4:", "asn"),
      (
        "unknown-node",
        "name: x\ntopology:\n  nodes:\n    alpha: {kind: host}\n  links:\n    - {endpoints: [alpha, alpho]}\n", ":6:",
        "alpha"
      ),
      ("reserved-asn", "name: x\ntopology:\n  nodes:\n    a: {kind: router, asn: 23456}\n", ":4:", "23456"),
      ("syntax", "name: x\ntopology: {nodes: [\n", ":", "error"),
      ("empty", "", ":1:1:", "error"),
      ("binary", "\u{0}\u{1}\u{2}", ":", "error"),
    ])
  func broken(name: String, text: String, place: String, word: String) throws {
    let bench = try Bench()
    let path = try bench.file("\(name).yaml", text)
    for verb in ["validate", "up", "test"] {
      let run = try bench.netloom([verb, path])
      #expect(run.exit == 2, "\(verb): \(run.errors)")
      #expect(run.errors.contains("\(name).yaml\(place)") && run.errors.contains(word), "\(verb): \(run.errors)")
    }
    #expect(try bench.netloom(["ls", "-o", "json"]).output.contains("\"x\"") == false)
  }

  @Test("a missing file, a missing command and a wrong option are usage errors of one line")
  func usage() throws {
    let bench = try Bench()
    for arguments in [["up", "no-such-file.yaml"], ["frobnicate"], ["up"], ["trace", "only-one"]] {
      let run = try bench.netloom(arguments)
      #expect(run.exit == 2, "\(arguments): \(run.exit) \(run.errors)")
      #expect(!run.errors.isEmpty)
    }
  }

  @Test("the words of a file's error read as sentences")
  func wording() throws {
    let bench = try Bench()
    let misspelt = try bench.file("misspelt.yaml", "name: x\ntopology:\n  nodes:\n    a: {kind: hast}\n")
    let first = try bench.netloom(["validate", misspelt]).errors
    #expect(first.contains("did you mean `host`? Expected one of"), "\(first)")
    let list = try bench.file("list.yaml", "- name: x\n")
    let second = try bench.netloom(["validate", list]).errors
    #expect(second.contains("error: the file is a list"), "\(second)")
  }

  @Test("what is wrong with the words of a command is said before anything is looked at")
  func words() throws {
    let bench = try Bench()
    for (arguments, words) in [
      (["down", "one", "--lab", "two"], "one or two"),
      (["status", "one", "--lab", "two"], "one or two"),
      (["graph"], "--lab LAB"),
      (["fault", "link-down", "a", "b"], "NODE:IFACE"),
      (["exec", "h1", "--speed", "9", "true"], "after --"),
      (["exec", "h1", "-o", "xml", "true"], "table or json"),
      (["pipeline", "run"], "<file>"),
    ] {
      let run = try bench.netloom(arguments)
      #expect(run.exit == 2 && run.errors.contains(words), "\(arguments): \(run.exit) \(run.errors)")
    }
  }

  @Test("a report that cannot be written is refused before any lab is started")
  func report() throws {
    let bench = try Bench()
    let file = try bench.file("quick.yaml", "name: bi-\(getpid())\n" + Self.hostWithTest)
    for path in ["no-such-folder/report.xml", "."] {
      let run = try bench.netloom(["test", file, "--junit", path])
      #expect(run.exit == 3 && run.output.isEmpty, "\(run.exit) \(run.output)")
      #expect(run.errors.hasPrefix("netloom: cannot write \(path): ") && !run.errors.contains("Cocoa"), "\(run.errors)")
    }
    #expect(!FileManager.default.fileExists(atPath: "\(bench.directory)/no-such-folder"))
  }

  @Test("tests on a lab that does not run could not be run")
  func testsWithoutLab() throws {
    let bench = try Bench()
    let file = try bench.file("quick.yaml", "name: bi-\(getpid())\n" + Self.hostWithTest)
    let run = try bench.netloom(["test", file, "--lab", "no-such-lab"])
    #expect(run.exit == 3 && run.errors.contains("lab"), "\(run.exit) \(run.errors)")
  }

  static let hostWithTest = """
    topology: {nodes: {h: {kind: host}}}
    tests:
      - name: it runs
        steps: [{exec: {node: h, command: "true"}, expect: {exit: 0}}]

    """

  @Test("commands on a lab that does not run say so")
  func noLab() throws {
    let bench = try Bench()
    let run = try bench.netloom(["status", "--lab", "no-such-lab"])
    #expect(run.exit != 0 && run.errors.contains("lab"), "\(run.errors)")
  }
}
