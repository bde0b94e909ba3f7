import ControlProtocol
import Controller
import Foundation
import NorthboundAPI

//   h1 ── edge ── isp1

let edgeLab = """
  name: edge-lab
  topology:
    nodes:
      h1: {kind: host}
      edge: {kind: router, asn: 64500, networks: [203.0.113.0/24]}
      isp1: {kind: router, asn: 64496}
    links:
      - {endpoints: ["h1:eth1", "edge:eth2"], addresses: [[192.168.1.2/24], [192.168.1.1/24]]}
      - {endpoints: ["edge:eth1", "isp1:eth1"], relation: customer-provider}
  """

/// Touches edge alone.
let masquerade = """
  topology:
    nodes:
      edge:
        nat:
          - {masquerade: {out: eth1, from: 192.168.0.0/16}}
  """

/// Touches edge and isp1.
let masqueradeAndFilter = """
  topology:
    nodes:
      edge: {nat: [{masquerade: {out: eth1, from: 192.168.0.0/16}}]}
      isp1: {filter: [{match: {in: eth1, proto: tcp, port: 22}, then: drop}]}
  """

/// The lab with its machine and both routers' agents, converged.
struct ChangeLab {
  let lab: FakeLab
  let machine: FakeProcess
  let edge: FakeAgent
  let isp: FakeAgent

  var controller: LabController { lab.controller }

  init(limits: StepLimits = StepLimits()) async throws {
    lab = try await FakeLab(edgeLab, limits: limits)
    machine = try await lab.machine()
    edge = try await lab.agent("edge")
    isp = try await lab.agent("isp1")
    _ = await lab.controller.converged(timeoutMilliseconds: 20_000)
  }

  func apply(
    _ text: String, file: String = "CHANGE.yaml", confirmWithin: Int64? = nil, dryRun: Bool? = nil
  ) async throws -> ChangeResult {
    try await controller.apply(
      ChangeRequest(file: file, text: text, author: "ada", confirmWithinMs: confirmWithin, dryRun: dryRun))
  }

  /// What an apply that must not hold is answered.
  func refusal(_ text: String, file: String = "CHANGE.yaml") async -> APIError? {
    do {
      _ = try await apply(text, file: file)
      return nil
    } catch {
      return error as? APIError
    }
  }

  func history() async throws -> [VersionEntry] { try await controller.history(limit: 100, offset: 0) }

  /// Python's own SQLite on the versions (`sys.argv[1]`), independent of the product's.
  @discardableResult
  func python(_ script: String) async throws -> String {
    let python = Process()
    python.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    python.arguments = ["python3", "-c", script, lab.directory.path + "/state.db"]
    let output = Pipe()
    python.standardOutput = output
    let (ended, end) = AsyncStream.makeStream(of: Void.self)
    python.terminationHandler = { _ in end.finish() }
    try python.run()
    // A blocked thread would be missing to the controllers that run beside.
    for await _ in ended {}
    return String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
      .trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// What each version was made of, by row numbers.
  func layers() async throws -> [[Int]] {
    let text = try await python(
      """
      import sqlite3, sys
      rows = sqlite3.connect(sys.argv[1]).execute("SELECT layers FROM versions ORDER BY version")
      print("[" + ",".join(row[0] for row in rows) + "]")
      """)
    return try JSONDecoder().decode([[Int]].self, from: Data(text.utf8))
  }
}
