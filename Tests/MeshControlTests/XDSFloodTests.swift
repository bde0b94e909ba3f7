import CLinux
import Glibc
import Mesh
import Testing

@testable import MeshControl

/// Clients of the control plane that cost more than they should: the limits are those of the session (RFC 9113
/// section 10.5), so here it is seen that they hold and that others do not suffer.
@Suite(.serialized) struct XDSFloodTests {
  struct Flood: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let frames: @Sendable (UInt32) -> [UInt8]
  }

  private static func frame(_ type: UInt8, _ flags: UInt8 = 0, _ stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8]
  {
    [0, 0, UInt8(payload.count), type, flags] + withUnsafeBytes(of: stream.bigEndian, Array.init) + payload
  }

  /// POST, http, /, of static indexes and no authority (RFC 7541 appendix A).
  private static let post: [UInt8] = [0x83, 0x86, 0x84]

  static let floods = [
    Flood(testDescription: "rapid reset") {
      frame(1, 4, $0 * 2 + 1, post) + frame(3, 0, $0 * 2 + 1, [0, 0, 0, 8])
    },
    Flood(testDescription: "settings") { _ in frame(4) },
    Flood(testDescription: "ping") { _ in frame(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8]) },
    Flood(testDescription: "continuation") { $0 == 0 ? frame(1, 0, 1, post) : frame(9, 0, 1, [0, 1, 0x61, 1, 0x62]) },
    Flood(testDescription: "window updates") { _ in frame(8, 0, 0, [0, 0, 0, 1]) },
  ]

  @Test(arguments: floods) func aFloodEndsItsConnectionAndNoOther(_ flood: Flood) async throws {
    let path = "/tmp/netloom-xds-\(getpid())-\(UInt64.random(in: 0...UInt64.max)).sock"
    defer { unlink(path) }
    let server = try XDSServer(SampleMesh.model())
    defer { server.stop() }
    try server.listen(unix: path)
    let fleet = try FakeFleet()
    defer { fleet.stop() }
    fleet.connect(path, pod: "client-1")
    #expect(try await server.ready(["client-1"]).lagging.isEmpty)
    let opening = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + Self.frame(4)
    let answer = try exchange(path, opening + (0..<3000).flatMap { flood.frames($0) })
    // The last frame is GOAWAY with ENHANCE_YOUR_CALM.
    var frames: [[UInt8]] = []
    var rest = answer[...]
    while rest.count >= 9 {
      let length = rest.prefix(3).reduce(0) { $0 << 8 | Int($1) }
      frames.append(Array(rest.prefix(9 + length)))
      rest = rest.dropFirst(9 + length)
    }
    let last = try #require(frames.last)
    #expect(last[3] == 7 && Array(last[13..<17]) == [0, 0, 0, 0xB])
    #expect(try await server.split("web", ["v1": 1]).current == 1)
  }

  /// Sends all of it and returns what came until the end.
  private func exchange(_ path: String, _ bytes: [UInt8]) throws -> [UInt8] {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var time = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8).prefix($0.count - 1)) }
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, __CONST_SOCKADDR_ARG(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(connected == 0)
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        send(descriptor, $0.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count <= 0 { break }
      sent += count
    }
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = recv(descriptor, &buffer, buffer.count, 0)
      if count <= 0 { return all }
      all += buffer[..<count]
    }
  }
}
