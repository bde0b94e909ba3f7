internal import Foundation
internal import Mesh
internal import NetTypes
public import NorthboundAPI
internal import Synchronization

/// Requests as they cross the sidecars:
///
///   sidecar ──GET /tap (a line each, ≤ 256 KiB wait there)──► controller (≤ 1,024 wait here) ──► API, server-sent events
extension LabController {
  /// Events that wait for the reader at most.
  private static let tapRoom = 1024

  /// Ends when its reader does.
  public func meshTap(_ query: MeshTapQuery) throws -> AsyncStream<MeshTapItem> {
    guard let model = mesh?.applied else { throw APIError(code: "invalid", message: "the topology has no `mesh`") }
    for name in [query.from, query.to].compactMap({ $0 }) {
      guard model.pods.contains(where: { $0.name == name }) || model.service(name) != nil else {
        throw APIError(code: "not-found", message: "the mesh has no pod or service \(name)")
      }
    }
    let (items, sink) = AsyncStream.makeStream(
      of: MeshTapItem.self, bufferingPolicy: .bufferingOldest(Self.tapRoom))
    let outlet = TapOutlet(sink, query, model)
    let clients = model.pods.filter { $0.sidecar == .netloom }.map { ($0, sidecar(of: $0.name)) }
    let task = Task {
      await withTaskGroup(of: Void.self) { group in
        for (pod, client) in clients { group.addTask { await outlet.follow(pod, client) } }
        group.addTask {
          while (try? await Task.sleep(for: .seconds(5))) != nil { outlet.offer(.quiet) }
        }
      }
    }
    sink.onTermination = { _ in task.cancel() }
    return items
  }
}

/// Makes events out of what sidecars say and passes on what was asked for.
private final class TapOutlet: Sendable {
  private let sink: AsyncStream<MeshTapItem>.Continuation
  private let query: MeshTapQuery
  private let reader: TapReader
  private let lost = Mutex<UInt64>(0)

  init(_ sink: AsyncStream<MeshTapItem>.Continuation, _ query: MeshTapQuery, _ model: MeshModel) {
    self.sink = sink
    self.query = query
    reader = TapReader(model)
  }

  func offer(_ item: MeshTapItem) {
    let count = lost.withLock { count in
      defer { count = 0 }
      return count
    }
    if count > 0, case .dropped = sink.yield(.dropped(MeshTapLoss(count: count))) {
      return lost.withLock { $0 += count + 1 }
    }
    if case .dropped = sink.yield(item), case .request = item { lost.withLock { $0 += 1 } }
  }

  /// Until the task is cancelled; a sidecar that is started again is found again.
  func follow(_ pod: MeshPod, _ client: SidecarClient) async {
    var isAbsent = false
    while !Task.isCancelled {
      do {
        var rest: [UInt8] = []
        try await client.exchange(path) { bytes in
          isAbsent = false
          rest += bytes
          while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            take(Data(rest[..<end]), of: pod)
            rest.removeFirst(end + 1)
          }
        }
      } catch {
        if !isAbsent, !Task.isCancelled { offer(.absent(MeshTapAbsence(pod: pod.name, reason: "\(error)"))) }
        isAbsent = true
      }
      guard (try? await Task.sleep(for: .seconds(1))) != nil else { return }
    }
  }

  private func take(_ line: Data, of pod: MeshPod) {
    if let record = try? JSONDecoder().decode(TapLine.self, from: line) {
      if let event = reader.event(record, of: pod), wants(event, pod) { offer(.request(event)) }
    } else if let loss = try? JSONDecoder().decode(TapLoss.self, from: line) {
      offer(.dropped(MeshTapLoss(pod: pod.name, count: loss.dropped)))
    }
  }

  private func wants(_ event: MeshTapEvent, _ pod: MeshPod) -> Bool {
    if let from = query.from, from != event.from, from != reader.service(of: event.from) { return false }
    if let to = query.to, to != event.to, to != event.pod { return false }
    return true
  }

  /// What the sidecar itself can choose.
  private var path: String {
    let pairs = [("path", query.path), ("method", query.method), ("status", query.status)]
    let query = pairs.compactMap { key, value in
      value.flatMap { $0.addingPercentEncoding(withAllowedCharacters: .alphanumerics) }.map { "\(key)=\($0)" }
    }
    return query.isEmpty ? "/tap" : "/tap?" + query.joined(separator: "&")
  }
}

/// A line of a sidecar's `/tap` (its TapRecord).
private struct TapLine: Decodable {
  var at: UInt64
  var direction: String
  var service: String
  var `protocol`: String
  var client: String?
  var endpoint: String?
  var version: String?
  var microseconds: UInt64
  var bytesToServer: UInt64
  var bytesToClient: UInt64
  var source: String?
  var server: String?
  var method: String?
  var authority: String?
  var path: String?
  var status: Int?
  var attempts: Int?
  var refused: String?
  var trace: String?
}

private struct TapLoss: Decodable { var dropped: UInt64 }

/// Names for addresses and identities.
private struct TapReader: Sendable {
  private let model: MeshModel
  private let pods: [String: MeshPod]
  private let counting: Set<String>

  init(_ model: MeshModel) {
    self.model = model
    pods = Dictionary(
      model.pods.flatMap { pod in pod.addresses.map { ($0.description, pod) } }, uniquingKeysWith: { first, _ in first }
    )
    counting = Set(
      Dictionary(grouping: model.pods, by: \.account).filter { $0.value.allSatisfy { $0.sidecar == .netloom } }.keys)
  }

  func service(of pod: String) -> String? { model.pods.first { $0.name == pod }?.account }

  /// Nil for what is no service's, and for what the client's sidecar tells.
  func event(_ line: TapLine, of pod: MeshPod) -> MeshTapEvent? {
    let service = String(line.service.prefix { $0 != "," && $0 != ":" })
    guard model.service(service) != nil else { return nil }
    let isClient = line.direction == "outbound"
    let account = line.source.map(self.account)
    if !isClient, let account, counting.contains(account) { return nil }
    let from = isClient ? pod.name : line.client.flatMap(self.pod)?.name ?? account ?? line.client ?? ""
    var event = MeshTapEvent(
      at: line.at, from: from, to: service, proto: line.protocol, ms: Double(line.microseconds) / 1000,
      reporter: isClient ? "client" : "server")
    event.pod = isClient ? line.endpoint.flatMap(self.pod)?.name : pod.name
    // A pod that asks itself is reached on its loopback address.
    if isClient, event.pod == nil, line.endpoint?.hasPrefix("127.") == true { event.pod = pod.name }
    event.endpoint = line.endpoint
    event.version = isClient ? line.version : pod.version
    event.method = line.method
    event.authority = line.authority
    event.path = line.path
    event.status = line.status
    event.bytesToServer = line.bytesToServer
    event.bytesToClient = line.bytesToClient
    event.attempts = line.attempts
    event.refused = line.refused
    let own = model.mutualTLS == .off ? nil : "spiffe://\(model.trustDomain)/ns/default/sa/\(pod.account)"
    event.client = isClient ? (line.server == nil ? nil : own) : line.source
    event.server = isClient ? line.server : (line.source == nil ? nil : own)
    event.trace = line.trace
    return event
  }

  private func account(_ identity: String) -> String {
    let own = "spiffe://\(model.trustDomain)/ns/default/sa/"
    return identity.hasPrefix(own) ? String(identity.dropFirst(own.count)) : identity
  }

  /// - Parameter address: `10.0.0.1:80` or `[fd00::1]:80`.
  private func pod(_ address: String) -> MeshPod? {
    guard let colon = address.lastIndex(of: ":") else { return nil }
    let host = address[..<colon].trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
    return pods[host]
  }
}
