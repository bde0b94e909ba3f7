import ContainerlabImport
import Foundation
import Testing
import Topology

/// A folder of its own with a containerlab file and what it binds.
struct ClabFolder {
  let path: String

  init(_ files: [String: String] = [:]) throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("netloom-import-\(UUID().uuidString)")
    for (name, text) in files {
      let file = url.appendingPathComponent(name)
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: file)
    }
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  func parse(_ text: String, environment: [String: String] = [:]) -> Parsed<ImportedTopology> {
    ContainerlabFile.parse(
      text: text, file: "lab.clab.yml", baseDirectory: path, environment: environment,
      target: .init(name: "lab.yaml", directory: path))
  }
}

/// The import, which must succeed.
func imported(
  _ text: String, files: [String: String] = [:], environment: [String: String] = [:],
  sourceLocation: SourceLocation = #_sourceLocation
) throws -> ImportedTopology {
  let result = try ClabFolder(files).parse(text, environment: environment)
  #expect(result.diagnostics.isEmpty, "\(result.diagnostics)", sourceLocation: sourceLocation)
  return try #require(result.value, sourceLocation: sourceLocation)
}

/// The errors of an import that must fail, without the file's name.
func errors(_ text: String, files: [String: String] = [:]) throws -> [String] {
  let result = try ClabFolder(files).parse(text)
  #expect(result.value == nil)
  return result.diagnostics.map { "\($0.place.line):\($0.place.column): \($0.message)" }
}

extension ImportedTopology {
  /// `LINE:COL: message` of what was left out, and of what was changed.
  var lost: [String] { told(.leftOut) }
  var changes: [String] { told(.changed) }

  private func told(_ kind: Finding.Kind) -> [String] {
    findings.filter { $0.kind == kind }.map { "\($0.place.line):\($0.place.column): \($0.message)" }
  }

  /// `NODE:IFACE ADDRESS…` of every end that has some.
  var addresses: [String] {
    lab.links.flatMap { [$0.a, $0.b] }.filter { !$0.addresses.isEmpty }.map { end in
      "\(end.name) " + end.addresses.map { "\($0)" }.joined(separator: " ")
    }
  }

  func exec(_ node: String) -> [String] { lab.node(node)?.exec ?? [] }

  func routes(_ node: String) -> [String] {
    (lab.node(node)?.routes ?? []).filter { !$0.derived }.map { "\($0.to) via \($0.gateway) dev \($0.interface)" }
  }
}

/// A program's standard output; its exit code must be 0.
func output(of program: String, _ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) throws
  -> String
{
  let process = Process()
  process.executableURL = URL(fileURLWithPath: program)
  process.arguments = arguments
  let pipe = Pipe()
  process.standardOutput = pipe
  try process.run()
  let data = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  #expect(process.terminationStatus == 0, "\(arguments)", sourceLocation: sourceLocation)
  return String(decoding: data, as: UTF8.self)
}
