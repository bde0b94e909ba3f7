import CLinux
import Capture
import Foundation
import NetTypes
import Testing

extension NamespaceTests {
  @Suite struct FlowCaptureTests {
    private static let key: UInt32 = 0x6E65_746C
    private let filter = FlowFilter(.ipv4, .udp, words: [.init(offset: 8, base: key)])

    private func targets(_ count: Int) -> [CaptureTarget] {
      (0..<count).map { CaptureTarget(node: "n\($0)", interface: "lo", namespace: "/proc/self/ns/net") }
    }

    /// The inodes of this namespace's packet sockets.
    private func packetSockets() throws -> Set<String> {
      Set(
        try NamespaceLab.shell("cat /proc/net/packet").split(separator: "\n").dropFirst()
          .compactMap { $0.split(separator: " ").last.map(String.init) })
    }

    private func ownSockets() throws -> Set<String> {
      let folder = "/proc/self/fd"
      return Set(
        try FileManager.default.contentsOfDirectory(atPath: folder).compactMap {
          try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)")
        }.filter { $0.hasPrefix("socket:[") }.map { String($0.dropFirst(8).dropLast()) })
    }

    @Test(
      "captures stand in tables of their own, from which a killed process loses them at once, and end with their set")
    func tables() throws {
      let before = try packetSockets()
      var set: FlowCapture? = FlowCapture(targets(200), filter, snapLength: 512)
      #expect(set?.states.allSatisfy { if case .open = $0 { true } else { false } } == true)
      let opened = try packetSockets().subtracting(before)
      #expect(opened.count >= 200)
      #expect(try ownSockets().isDisjoint(with: opened))
      set = nil
      #expect(try packetSockets().isDisjoint(with: opened))
    }

    @Test("a packet that passes is seen on every capture with the time at which it passed, others are not")
    func passing() throws {
      let set = FlowCapture(targets(3), filter, snapLength: 64)
      let file = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
      defer { close(file) }
      var address = sockaddr_in()
      address.sin_family = UInt16(AF_INET)
      address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
      // Somebody takes the datagrams: otherwise each is followed by an ICMP error, which every filter passes.
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          _ = CLinux.bind(file, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length)
          _ = getsockname(file, __SOCKADDR_ARG(__sockaddr__: $0), &length)
        }
      }
      func send(_ bytes: [UInt8]) {
        withUnsafePointer(to: &address) { pointer in
          pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            _ = CLinux.sendto(
              file, bytes, bytes.count, 0, __CONST_SOCKADDR_ARG(__sockaddr__: $0),
              socklen_t(MemoryLayout<sockaddr_in>.size))
          }
        }
      }
      func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
      }
      let key = withUnsafeBytes(of: Self.key.bigEndian) { Array($0) }
      send([1, 2, 3, 4, 5])
      let start = now()
      send(key + [UInt8](repeating: 7, count: 96))
      let end = now()
      var frames: [(target: Int, time: UInt64, wire: Int, kept: [UInt8])] = []
      set.drain { frames.append(($0.target, $0.time, $0.wireLength, Array($0.bytes))) }
      // On lo each packet leaves and arrives.
      #expect(frames.map(\.target).sorted() == [0, 0, 1, 1, 2, 2])
      for frame in frames {
        #expect(frame.time >= start && frame.time <= end)
        #expect(frame.wire == 14 + 20 + 8 + 100 && frame.kept.count == 64)
        #expect(Array(frame.kept[42..<46]) == key)
      }
      #expect(set.statistics == Array(repeating: CaptureStatistics(received: 2, dropped: 0), count: 3))
    }

    @Test("what cannot be captured says why")
    func failures() {
      var three = targets(3)
      three[1].interface = "nosuch0"
      three[2].namespace = "/proc/no-such-process/ns/net"
      let states = FlowCapture(three, filter, snapLength: 64).states
      #expect(states[1] == .failed("No such device") && states[2] == .absent)
    }
  }
}
