import EventLoop
import HTTP2
import SwiftProtobuf
import Synchronization
import XDS

@testable import MeshControl

/// Clients that do what Envoy does on the wire, many on one thread: subscribe to everything, acknowledge, follow.
final class FakeFleet: Sendable {
  /// nil: the thread has ended, and nobody else will read the letter.
  typealias Letter = @Sendable (FleetState?) -> Void

  private let thread: ServerThread<Letter>

  init() throws {
    thread = try ServerThread<Letter>.start(
      { loop in
        let state = FleetState(loop)
        return { letter in letter(state) }
      }, abandon: { letter in letter(nil) })
  }

  /// Connects a client to the server's socket.
  func connect(_ path: String, pod: String, _ conduct: FakeClient.Conduct = FakeClient.Conduct()) {
    thread.post { state in
      guard let state, let client = try? FakeClient(state.loop, path, pod, conduct) else { return }
      state.clients.append(client)
    }
  }

  /// Runs a closure among the clients and hands its result back.
  func ask<Answer: Sendable>(_ body: @escaping @Sendable ([FakeClient]) -> Answer) async -> Answer {
    await withCheckedContinuation { continuation in
      thread.post { continuation.resume(returning: body($0?.clients ?? [])) }
    }
  }

  /// Waits until a call of some client has ended; its status and message.
  func ending() async -> String {
    await withCheckedContinuation { continuation in
      thread.post { state in
        for client in state?.clients ?? [] {
          client.onEnd = { text in
            client.onEnd = nil
            continuation.resume(returning: text)
          }
          if let ended = client.ended { client.onEnd?(ended) }
          return
        }
        continuation.resume(returning: "no client is connected")
      }
    }
  }

  func disconnect(_ count: Int) {
    thread.post { state in
      guard let state else { return }
      for client in state.clients.prefix(count) { client.close() }
      state.clients.removeFirst(min(count, state.clients.count))
    }
  }

  func stop() {
    thread.post { state in
      for client in state?.clients ?? [] { client.close() }
      state?.loop.stop()
    }
    thread.join()
  }
}

final class FleetState {
  let loop: EventLoop
  var clients: [FakeClient] = []
  init(_ loop: EventLoop) { self.loop = loop }
}

final class FakeClient {
  struct Conduct: Sendable {
    /// The type that it refuses, always.
    var refuses: ResourceType?
    /// The type that it never answers.
    var ignores: ResourceType?
    var path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
    /// Bytes in place of the first message.
    var garbage: [UInt8]?
  }

  private let session = HTTP2Session(.client)
  private let connection: StreamConnection
  private let conduct: Conduct
  private let pod: String
  private var stream: StreamID = 0
  private var decoder = GRPCMessageDecoder()
  private var subscribed: [ResourceType: [String]] = [:]
  private(set) var received: [ResourceType: Int] = [:]
  private(set) var versions: [ResourceType: String] = [:]
  /// Weights of the service `web`, as its routes said last.
  private(set) var weights: [UInt32] = []
  private(set) var ended: String?
  var onEnd: ((String) -> Void)?

  init(_ loop: EventLoop, _ path: String, _ pod: String, _ conduct: Conduct) throws {
    connection = try StreamConnection(loop, try UnixSocket.connect(path))
    self.conduct = conduct
    self.pod = pod
    session.onEvent = { [unowned self] in handle($0) }
    connection.onBytes = { [unowned self] bytes in
      try? session.receive(bytes, now: loop.now)
      flush()
    }
    connection.onClose = { [unowned self] _ in end("closed") }
    stream = try session.submitRequest(
      [
        HeaderField(":method", "POST"), HeaderField(":scheme", "http"), HeaderField(":path", conduct.path),
        HeaderField(":authority", "xds"), HeaderField("content-type", "application/grpc"),
        HeaderField("te", "trailers"),
      ], endStream: false)
    if let garbage = conduct.garbage {
      _ = try session.send(stream, garbage, endStream: false)
    } else {
      subscribe(.cluster, [])
      subscribe(.listener, [])
    }
    flush()
  }

  func close() { connection.close() }

  private func end(_ text: String) {
    if ended != nil { return }
    ended = text
    onEnd?(text)
  }

  private func flush() {
    var output: [UInt8] = []
    while session.wantsWrite {
      output.removeAll(keepingCapacity: true)
      session.pullOutput(into: &output)
      if output.isEmpty { return }
      connection.send(output)
    }
  }

  private func subscribe(_ type: ResourceType, _ names: [String]) {
    subscribed[type] = names
    say(type, nonce: "", version: "")
  }

  private func say(_ type: ResourceType, nonce: String, version: String, refusal: String? = nil) {
    var request = EnvoyDiscoveryRequest()
    request.node.id = pod
    request.node.userAgentName = "fake"
    request.typeURL = type.typeURL
    request.resourceNames = subscribed[type] ?? []
    request.responseNonce = nonce
    request.versionInfo = version
    if let refusal { request.errorDetail.message = refusal }
    guard let bytes: [UInt8] = try? request.serializedBytes() else { return }
    _ = try? session.send(stream, GRPCFraming.frame(bytes), endStream: false)
  }

  private func handle(_ event: HTTP2Event) {
    switch event {
    case .head(_, let fields, let endStream): if endStream { finish(fields) }
    case .trailers(_, let fields): finish(fields)
    case .data(let id, let bytes, _):
      decoder.append(bytes)
      session.consumed(id, bytes.count)
      while let message = try? decoder.next() {
        if let response = try? EnvoyDiscoveryResponse(serializedBytes: message) { take(response) }
      }
    case .closed(_, let code): end("closed \(code.rawValue)")
    default: break
    }
  }

  private func finish(_ fields: FieldList) {
    func value(_ name: String) -> String { fields.first { $0.name == name }?.text ?? "" }
    end("\(value("grpc-status")) \(value("grpc-message"))")
  }

  private func take(_ response: EnvoyDiscoveryResponse) {
    guard let type = ResourceType(typeURL: response.typeURL) else { return }
    received[type, default: 0] += 1
    if conduct.ignores == type { return }
    let refused = conduct.refuses == type
    if !refused { versions[type] = response.versionInfo }
    say(
      type, nonce: response.nonce, version: versions[type] ?? "", refusal: refused ? "\(pod) does not like it" : nil)
    if refused { return }
    switch type {
    case .cluster:
      let names = response.resources.compactMap { try? EnvoyCluster(serializedBytes: $0.value) }
        .filter { $0.type == .eds }.map(\.name)
      if names != subscribed[.endpoints] { subscribe(.endpoints, names) }
    case .listener: if subscribed[.routes] == nil { subscribe(.routes, ["web"]) }
    case .routes:
      let routes = response.resources.compactMap { try? EnvoyRouteConfiguration(serializedBytes: $0.value) }
      weights =
        routes.first?.virtualHosts.first?.routes.first?.route.weightedClusters.clusters.map(\.weight.value) ?? []
    case .endpoints, .secret: break
    }
  }
}
