import ControlProtocol
import Foundation
import NorthboundAPI
import NorthboundClient
import Testing

@testable import Northbound

@Suite("Listeners and streams", .timeLimit(.minutes(1)))
struct StreamTests {
  /// A listening socket on a free port of the loopback, as the controller inherits one.
  private func listener() throws -> (descriptor: Int32, port: Int) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let port = withUnsafeMutablePointer(to: &address) { pointer in
      let own = __CONST_SOCKADDR_ARG(__sockaddr_in__: UnsafePointer(pointer))
      guard bind(descriptor, own, length) == 0, listen(descriptor, 16) == 0 else { return 0 }
      getsockname(descriptor, __SOCKADDR_ARG(__sockaddr_in__: pointer), &length)
      return Int(UInt16(bigEndian: pointer.pointee.sin_port))
    }
    try #require(port != 0)
    return (descriptor, port)
  }

  private func curl(_ arguments: [String]) async throws -> String {
    let curl = Process()
    curl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    curl.arguments = ["curl", "-s", "-i", "-N", "--max-time", "2"] + arguments
    let output = Pipe()
    curl.standardOutput = output
    let (ended, end) = AsyncStream.makeStream(of: Void.self)
    curl.terminationHandler = { _ in end.finish() }
    try curl.run()
    for await _ in ended {}
    return String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
  }

  @Test("by TCP only the bearer of the token is served")
  func token() async throws {
    let (descriptor, port) = try listener()
    let api = try await RunningAPI(listener: TokenListener(descriptor: descriptor, token: "sesame"))
    let url = "http://127.0.0.1:\(port)/v1/history"
    let none = try await curl([url])
    #expect(none.hasPrefix("HTTP/1.1 401 "), "\(none)")
    #expect(none.lowercased().contains("www-authenticate: bearer"))
    let wrong = try await curl(["-H", "Authorization: Bearer sesamE", url])
    #expect(wrong.hasPrefix("HTTP/1.1 401 "))
    let right = try await curl(["-H", "Authorization: Bearer sesame", url])
    #expect(right.hasPrefix("HTTP/1.1 200 "), "\(right)")
    #expect(right.contains("up lab.yaml"))
    withExtendedLifetime(api) {}
  }

  @Test("who has no token is soon told to slow down, and takes nothing from those who have it or the socket")
  func flood() async throws {
    let (descriptor, port) = try listener()
    let api = try await RunningAPI(listener: TokenListener(descriptor: descriptor, token: "sesame"))
    let url = "http://127.0.0.1:\(port)/v1/confirm"
    // More than any listener allows at once.
    let codes = try await curl(
      ["-X", "POST", "-o", "/dev/null", "-w", "%{http_code} ", "\(url)?[1-1300]", "--max-time", "30"])
    let counts = Dictionary(codes.split(separator: " ").map { ($0, 1) }, uniquingKeysWith: +)
    #expect(Set(counts.keys) == ["401", "429"] && counts["401", default: 0] >= 50, "\(counts)")
    let right = try await curl(["-X", "POST", "-H", "Authorization: Bearer sesame", url])
    #expect(right.hasPrefix("HTTP/1.1 409 "), "\(right)")
    #expect(try await api.raw("POST", "/v1/confirm").status == 409)
  }

  @Test("events are streamed with their numbers, and resumed after the last that was seen")
  func events() async throws {
    let api = try await RunningAPI()
    // A refused change is an event.
    for _ in 0..<2 {
      _ = try? await api.client.apply(
        ChangeRequest(file: "C.yaml", text: "topology: {nodes: {customer: {nat: [{masquerade: {out: eth1}}]}}}"))
    }
    let arguments = ["--unix-socket", api.directory.apiSocket, "http://lab/v1/events/stream"]
    let all = try await curl(arguments)
    #expect(all.contains("text/event-stream"))
    #expect(all.contains("id: 1\nevent: change\ndata: {"))
    #expect(all.contains("id: 2\nevent: change\ndata: {"))
    let rest = try await curl(["-H", "Last-Event-ID: 1"] + arguments)
    #expect(!rest.contains("id: 1\n") && rest.contains("id: 2\n"), "\(rest)")
  }
}
