import CLinux
import NetTypes
import Testing

@testable import Netlink

/// The tests of this suite make namespaces of their own and look at them again with iproute2.
enum Kernel {
  /// nil: it may; otherwise why these tests are skipped.
  static let refusal: String? = {
    do {
      _ = try Namespace.create()
      return nil
    } catch {
      print("netlink tests that need a network namespace are skipped: \(error)")
      return "\(error)"
    }
  }()
  static var isAllowed: Bool { refusal == nil }

  /// What `command` prints when it runs inside the namespace.
  static func output(of command: String, in namespace: Namespace) throws -> String {
    try namespace.run { () throws(KernelError) in
      guard let pipe = popen(command, "r") else { throw KernelError(call: "popen", subject: command) }
      defer { pclose(pipe) }
      var bytes: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 65536)
      while case let count = fread(&chunk, 1, chunk.count, pipe), count > 0 { bytes += chunk[..<count] }
      return String(decoding: bytes, as: UTF8.self)
    }
  }
}

func name(_ text: String) throws -> InterfaceName { try #require(InterfaceName(text)) }
func ip(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }
func net(_ text: String) throws -> IPPrefix { try #require(IPPrefix(text)) }
func onLink(_ text: String) throws -> InterfaceAddress { try #require(InterfaceAddress(text)) }

/// Two namespaces and a veth pair between them: a:v0 10.7.0.1, fd07::1 --- 10.7.0.2, fd07::2 v0:b.
final class Pair {
  let a: Namespace
  let b: Namespace
  let socketA: NetlinkSocket
  let socketB: NetlinkSocket
  let index: InterfaceIndex = 7

  init() throws {
    a = try Namespace.create()
    b = try Namespace.create()
    socketA = try NetlinkSocket(in: a)
    socketB = try NetlinkSocket(in: b)
    let (a, b, end) = (a, b, try name("v0"))
    try socketA.commit { batch in
      batch.addVethPair(
        VethEnd(end, in: a, index: 7, mac: MACAddress(rawValue: 0x02_00_00_00_07_01)),
        VethEnd(end, in: b, index: 7, mac: MACAddress(rawValue: 0x02_00_00_00_07_02)), mtu: 1400)
    }
    for (socket, host) in [(socketA, "1"), (socketB, "2")] {
      let (v4, v6) = (try onLink("10.7.0.\(host)/24"), try onLink("fd07::\(host)/64"))
      try socket.commit { batch in
        batch.setLink(.loopback, up: true)
        batch.setLink(7, up: true)
        batch.addAddress(v4, to: 7)
        batch.addAddress(v6, to: 7)
      }
    }
  }
}
