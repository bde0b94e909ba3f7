internal import FoundationEssentials
internal import Glibc
internal import NorthboundAPI
internal import NorthboundClient
internal import Synchronization
internal import Topology

/// What a failing step leaves behind for the person who has to find out why: the captures of the step, every node's
/// RIB and kernel routes, the loads and checks, the events, the status; of nodes that do more than routing also their rules, queues and
/// connections, the drift and the history; all as the API tells them.
struct Evidence: Sendable {
  /// Folders start here; the current directory.
  let base: String
  /// Relative to `base`, with a trailing slash.
  let folder: String

  /// Writes what can be had and returns the folder; what cannot is named in `missing.txt` there. A folder of an
  /// earlier run is replaced.
  /// `concerned`: nodes whose kernels are read by the usual tools as well.
  func keep(
    _ findings: Findings, from api: any LabAPI, nodes: [ResolvedNode], concerned: Set<String> = []
  ) async throws -> String {
    let path = base + "/" + folder
    try? FileManager.default.removeItem(atPath: path)
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    var missing: [String] = []
    for (number, trace) in findings.traces.enumerated() {
      try write(trace, to: path + "trace-\(number + 1).json")
      copy(trace.capture, to: path + "trace-\(number + 1).pcapng", &missing)
    }
    for (number, rate) in findings.rates.enumerated() {
      try write(rate, to: path + "rate-\(number + 1).json")
      copy(rate.capture, to: path + "rate-\(number + 1).pcapng", &missing)
    }
    for (number, traffic) in findings.traffic.enumerated() {
      try write(traffic, to: path + "traffic-\(number + 1).json")
    }
    for (number, check) in findings.checks.enumerated() {
      try write(check, to: path + "check-\(number + 1).json")
      for (flow, trace) in check.traces.enumerated() {
        copy(trace.capture, to: path + "check-\(number + 1)-trace-\(flow + 1).pcapng", &missing)
      }
    }
    await keepKernels(of: nodes.filter { concerned.contains($0.name) }, api, &missing)
    await collect("status.json", path, &missing) { try await api.status() }
    await collect("events.json", path, &missing) { try await api.events(since: 0) }
    for node in nodes {
      await collect("\(node.name).routes.json", path, &missing) { try await api.routes(of: node.name, prefix: nil) }
      guard node.asn != nil, node.kind == .router else { continue }
      await collect("\(node.name).bgp.json", path, &missing) { try await api.allBGP(of: node.name) }
    }
    await keepFunctions(of: nodes.filter { !$0.functions.isEmpty || findings.nodes.contains($0.name) }, api, &missing)
    if !missing.isEmpty {
      try (missing.joined(separator: "\n") + "\n").write(
        toFile: path + "missing.txt", atomically: false, encoding: .utf8)
    }
    return folder
  }

  /// What the kernel tools of the machine say of the nodes concerned.
  private static let kernelReadings = [
    (file: "routes.txt", command: "ip -j route show table all && ip -j -6 route show table all && ip -j rule"),
    (file: "ruleset.txt", command: "nft list ruleset"),
    (file: "qdiscs.txt", command: "tc -s qdisc && tc -s class show"),
  ]
  private static let kernelLimit = 16

  private func keepKernels(of nodes: [ResolvedNode], _ api: any LabAPI, _ missing: inout [String]) async {
    for node in nodes.prefix(Self.kernelLimit) where node.kind != .switch {
      for reading in Self.kernelReadings {
        let file = "\(node.name).\(reading.file)"
        do {
          let command = ExecCommand(argv: ["/bin/sh", "-c", reading.command], timeoutMs: 5000)
          let result = try await api.exec(command, in: node.name)
          if result.exit != 0 || result.timedOut {
            let reason = result.timedOut ? "no end after 5 s" : "exit code \(result.exit) \(result.errorOutput)"
            missing.append("\(file): \(reason)".split(separator: "\n").joined(separator: " "))
          }
          guard !result.output.isEmpty else { continue }
          try result.output.write(toFile: base + "/" + folder + file, atomically: false, encoding: .utf8)
        } catch {
          missing.append("\(file): \(error)")
        }
      }
    }
    if nodes.count > Self.kernelLimit {
      missing.append("kernels of \(nodes.count - Self.kernelLimit) more nodes: \(Self.kernelLimit) are read at most")
    }
  }

  /// What nodes do with packets beside routing, as their kernels tell it.
  private func keepFunctions(of nodes: [ResolvedNode], _ api: any LabAPI, _ missing: inout [String]) async {
    guard !nodes.isEmpty else { return }
    let path = base + "/" + folder
    await collect("history.json", path, &missing) { try await api.history(limit: 100, offset: 0) }
    await collect("drift.json", path, &missing) { try await api.drift() }
    for name in nodes.map(\.name) {
      await collect("\(name).nat.json", path, &missing) { try await api.nat(of: name) }
      await collect("\(name).filter.json", path, &missing) { try await api.filter(of: name) }
      await collect("\(name).conntrack.json", path, &missing) { try await api.allConnections(of: name) }
      await collect("\(name).qos.json", path, &missing) { try await api.qos(of: name) }
    }
    for node in nodes where !node.functions.flowSpecs.isEmpty {
      await collect("\(node.name).flowspec.json", path, &missing) { try await api.flowSpecs(of: node.name) }
    }
  }

  private func copy(_ capture: String?, to path: String, _ missing: inout [String]) {
    guard let capture else { return }
    do {
      try FileManager.default.copyItem(atPath: capture, toPath: path)
    } catch {
      missing.append("\(capture): \(error)")
    }
  }

  private func collect<Value: Encodable>(
    _ file: String, _ path: String, _ missing: inout [String], _ ask: () async throws -> Value
  ) async {
    do {
      try write(try await ask(), to: path + file)
    } catch {
      missing.append("\(file): \(error)")
    }
  }

  private func write(_ value: some Encodable, to path: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try encoder.encode(value).write(to: URL(fileURLWithPath: path))
  }

  /// Why something could not be written, in the words of the system where it has any.
  static func reason(_ error: any Error) -> String {
    guard let error = error as? CocoaError else { return "\(error)" }
    let path = error.filePath.map { " (\($0))" } ?? ""
    guard let system = error.underlying as? POSIXError else { return "it cannot be written\(path)" }
    return String(cString: strerror(system.code.rawValue)) + path
  }

  /// Letters and digits of any script, everything else a dash: names are free text, folders should be easy to type.
  static func folderName(_ name: String) -> String {
    let words = name.lowercased().split { !$0.isLetter && !$0.isNumber }
    let joined = words.joined(separator: "-")
    var short = joined
    while short.utf8.count > 100 { short.removeLast() }
    return short.isEmpty ? "test" : short
  }
}

/// The folders of one run: names that differ in signs only make one folder name, so the later one gets a number.
public final class EvidenceFolders: Sendable {
  private let taken = Mutex<Set<String>>([])

  public init() {}

  /// A folder that nobody else in this run has.
  func claim(lab: String, test: String) -> String {
    let name = "evidence/\(Evidence.folderName(lab))/\(Evidence.folderName(test))"
    return taken.withLock { taken in
      var folder = name
      var number = 1
      while !taken.insert(folder).inserted {
        number += 1
        folder = "\(name)-\(number)"
      }
      return folder + "/"
    }
  }
}
