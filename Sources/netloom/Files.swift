import FoundationEssentials
import Lab
import Topology

/// Files that users name, read once; every diagnostic goes to stderr.
enum Files {
  /// The topology, under another name where one is given. Throws after printing when the file has errors.
  static func topology(_ path: String, named name: String? = nil) throws -> ResolvedLab {
    let parsed = TopologyFile.load(path: path)
    var lab = try value(of: parsed)
    if let name {
      guard RunRoot.isName(name) else {
        throw LabError(
          .usage, "\(name) is no name for a lab: lower-case letters, digits and dashes between them, at most 32")
      }
      lab.name = name
    }
    return lab
  }

  /// What a running lab was made from.
  static func topology(of lab: Lab) throws -> ResolvedLab {
    var topology = try value(of: lab.topology())
    topology.name = lab.name
    return topology
  }

  static func text(_ path: String) throws(LabError) -> String {
    do {
      return try String(contentsOfFile: path, encoding: .utf8)
    } catch {
      throw LabError(.usage, "cannot read \(path)")
    }
  }

  static func value<Value>(of parsed: Parsed<Value>) throws -> Value {
    for diagnostic in parsed.diagnostics { Output.note("\(diagnostic)") }
    guard let value = parsed.value else { throw Exit(code: 2) }
    return value
  }
}
