import CLinux
import NetTypes
import Netlink
import Testing

@testable import FIB

/// A router with two links, in namespaces of its own, and the FIB under test in it.
///
///                      v0 10.7.0.1/24 fd07::1/64 ── neighbours .2 to .9 (far namespace, not consulted)
///   router ──┤
///                      v1 10.8.0.1/24 fd08::1/64 ── neighbours .2 to .9
final class Router {
  let namespace: Namespace
  let far: Namespace
  let socket: NetlinkSocket
  let fib: FIB
  var underlay = Underlay()
  var events: [String] = []

  /// nil: it may; otherwise why these tests are skipped.
  static let refusal: String? = {
    do {
      _ = try Namespace.create()
      return nil
    } catch {
      print("FIB tests that need a network namespace are skipped: \(error)")
      return "\(error)"
    }
  }()
  static var isAllowed: Bool { refusal == nil }

  init() throws {
    namespace = try Namespace.create()
    far = try Namespace.create()
    socket = try NetlinkSocket(in: namespace)
    let farSocket = try NetlinkSocket(in: far)
    for (index, octet) in [(7 as InterfaceIndex, 7), (8, 8)] {
      let name = try #require(InterfaceName("v\(index.rawValue - 7)"))
      let (near, farEnd) = (VethEnd(name, in: namespace, index: index), VethEnd(name, in: far, index: index))
      try socket.commit { $0.addVethPair(near, farEnd) }
      try farSocket.commit { $0.setLink(index, up: true) }
      let (v4, v6) = (InterfaceAddress("10.\(octet).0.1/24"), InterfaceAddress("fd0\(octet)::1/64"))
      for address in [try #require(v4), try #require(v6)] {
        try socket.commit { batch in
          batch.setLink(index, up: true)
          batch.addAddress(address, to: index)
        }
        underlay.set(address.prefix, [.init(gateway: nil, link: index)])
      }
    }
    fib = try FIB(in: namespace)
    fib.onEvent = { [weak self] in self?.events.append("\($0.subject): \($0.text)") }
    fib.setUnderlay(underlay)
  }

  /// Next hops of a set are written as its number's decimal digits: set 23 is neighbours .2 and .3 of v0; one above
  /// 1000 is those of v1.
  static func nextHops(_ set: UInt32) -> [IPAddress] {
    let link: UInt8 = set > 1000 ? 8 : 7
    return String(set % 1000).utf8.map { .v4(IPv4Address(10, link, 0, $0 - 48)) }
  }

  static func nextHops6(_ set: UInt32) -> [IPAddress] {
    let link: UInt64 = set > 1000 ? 8 : 7
    return String(set % 1000).utf8.map {
      .v6(IPv6Address(high: 0xFD00_0000_0000_0000 | link << 48, low: UInt64($0 - 48)))
    }
  }

  /// Waits until the kernel has everything; no longer than ten seconds.
  func settle() {
    for _ in 0..<100 where !fib.isIdle {
      var waiting = pollfd(fd: fib.completionDescriptor, events: Int16(POLLIN), revents: 0)
      _ = poll(&waiting, 1, 100)
      fib.collect()
    }
  }

  func output(_ command: String) throws -> String {
    try namespace.run { () throws(KernelError) in
      guard let pipe = popen(command, "r") else { throw KernelError(call: "popen", subject: command) }
      defer { pclose(pipe) }
      var bytes: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 65536)
      while case let count = fread(&chunk, 1, chunk.count, pipe), count > 0 { bytes += chunk[..<count] }
      return String(decoding: bytes, as: UTF8.self)
    }
  }

  /// The n-th of many prefixes.
  static func prefix(_ index: Int) -> IPPrefix {
    let address = IPAddress.v4(IPv4Address(rawValue: 0x1400_0000 + UInt32(index) << 8))
    guard let prefix = IPPrefix(address, length: 24) else { preconditionFailure("24 bits are allowed") }
    return prefix
  }
}
