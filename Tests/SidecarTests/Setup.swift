import Foundation
import NetTypes
import Testing

@testable import Sidecar

/// A sidecar on a port of its own, in front of servers of the test.
struct Setup {
  var configuration = SidecarConfiguration()
  let listener = Listener(SocketAddress(.v4(IPv4Address(rawValue: 0x7F00_0001)), 0), .outbound(service: "web"))

  init(_ applicationProtocol: ApplicationProtocol, _ clusters: [Cluster], route: RouteRule? = nil) {
    configuration.pod = "client-1"
    configuration.clusters = clusters
    let rule = route ?? RouteRule(backends: clusters.map { WeightedBackend($0.name) })
    configuration.services = [Service("web", applicationProtocol, routes: [rule])]
    configuration.listeners = [listener]
    configuration.limits.drain = 5000
  }

  static func cluster(_ name: String = "web", _ ports: UInt16...) -> Cluster {
    Cluster(name, ports.map { Endpoint(loopback($0)) })
  }

  static func loopback(_ port: UInt16) -> SocketAddress { SocketAddress(.v4(IPv4Address(rawValue: 0x7F00_0001)), port) }

  func start() throws -> Running {
    let sidecar = try Sidecar(configuration)
    return Running(sidecar: sidecar, port: try #require(sidecar.localAddress(of: listener)?.port))
  }
}

/// Stops its sidecar when it goes away.
final class Running: Sendable {
  let sidecar: Sidecar
  let port: UInt16

  init(sidecar: Sidecar, port: UInt16) {
    self.sidecar = sidecar
    self.port = port
  }

  deinit { sidecar.stop() }

  func connect() throws -> Peer { try Peer.connect(port, keeping: self) }

  /// One request on a connection of its own.
  func get(_ path: String = "/", _ fields: String = "") throws -> Answer {
    let peer = try connect()
    peer.write("GET \(path) HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\(fields)\r\n")
    return Answer(peer.readAll())
  }

  /// The number of a metric's line that has all these labels; nil where there is no such line.
  func metric(_ name: String, _ labels: String...) -> Int? {
    for line in sidecar.metrics.split(separator: "\n") where line.hasPrefix(name + "{") {
      if labels.allSatisfy({ line.contains($0) }) { return Int(line.split(separator: " ").last ?? "") }
    }
    return nil
  }
}

struct Answer {
  let text: String
  init(_ text: String) { self.text = text }
  var status: Int { Int(text.split(separator: " ").dropFirst().first ?? "") ?? 0 }
  var body: String { text.components(separatedBy: "\r\n\r\n").dropFirst().joined(separator: "\r\n\r\n") }
  func field(_ name: String) -> String? { Origin.field(name, text.components(separatedBy: "\r\n\r\n")[0]) }
}

/// Real curl.
func curl(_ arguments: [String], input: String = "") throws -> String {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["curl", "-sS", "-m", "10"] + arguments
  let output = Pipe()
  let stdin = Pipe()
  process.standardOutput = output
  process.standardError = output
  process.standardInput = stdin
  try process.run()
  stdin.fileHandleForWriting.write(Data(input.utf8))
  try stdin.fileHandleForWriting.close()
  let data = output.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return String(decoding: data, as: UTF8.self)
}
