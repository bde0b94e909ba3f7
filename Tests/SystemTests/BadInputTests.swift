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
      ("not-yet", "name: x\ntopology:\n  nodes:\n    a: {kind: pod}\n", ":4:", "not yet"),
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

  @Test("commands on a lab that does not run say so")
  func noLab() throws {
    let bench = try Bench()
    let run = try bench.netloom(["status", "--lab", "no-such-lab"])
    #expect(run.exit != 0 && run.errors.contains("lab"), "\(run.errors)")
  }
}
