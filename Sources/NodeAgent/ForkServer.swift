// Makes the agents of a large lab without an exec for each.
//
//   netloom-machine ── request: arguments, descriptors ──► netloom-node --serve FD ──fork──► agent of a node
//                   ◄── pid, or a negative errno ────────────┘
//
// Loading this program, and what the Swift runtime looks up on first use (conformances, generic types), is most of what
// a fresh agent costs. The server does that once; each agent is a copy of it that enters its namespace, and shares with
// the others every page that it does not write. It serves while a lab is built and ends when netloom-machine closes the
// socket; agents that are restarted later are executed as usual.
//
// An agent is an orphan: the lab's init is its parent, as of every process it supervises.

internal import BGPCore
internal import CLinux
internal import ControlProtocol
internal import EventLoop
internal import FoundationEssentials
import Glibc
internal import Netlink
internal import SwiftProtobuf

enum ForkServer {
  /// Longest request: arguments, each with its terminating zero.
  static let requestLimit = 16 << 10

  /// Serves until the socket is closed (nil), or returns in a new agent with its arguments.
  static func run(_ socket: Int32) -> NodeProgram.Arguments? {
    warmUp()
    // What the warm-up opened is nothing that an agent should have.
    if socket > 3 { _ = close_range(3, UInt32(socket - 1), 0) }
    _ = close_range(UInt32(socket + 1), .max, 0)
    guard answer(socket, 0) else { return nil }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: requestLimit, alignment: 8)
    defer { buffer.deallocate() }
    while let (count, descriptors) = try? UnixSocket.receive(socket, buffer), count > 0 {
      let pid = nl_fork_orphan()
      if pid == 0 { return become(UnsafeRawBufferPointer(rebasing: buffer[..<count]), descriptors, socket) }
      for descriptor in descriptors { close(descriptor) }
      guard answer(socket, pid > 0 ? pid : -errno) else { return nil }
    }
    return nil
  }

  private static func answer(_ socket: Int32, _ number: Int32) -> Bool {
    withUnsafeBytes(of: number) { send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) == $0.count }
  }

  /// The first two descriptors are the network namespace and the log, the others the listeners. Ends the new process
  /// where it cannot be what was asked for.
  private static func become(
    _ request: UnsafeRawBufferPointer, _ descriptors: [Int32], _ socket: Int32
  ) -> NodeProgram.Arguments {
    let words = request.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    guard descriptors.count >= 2, var arguments = NodeProgram.Arguments(words) else { _exit(2) }
    close(socket)
    setsid()
    dup2(descriptors[1], 1)
    dup2(descriptors[1], 2)
    guard setns(descriptors[0], CLONE_NEWNET) == 0 else {
      Log().error("\(SystemError.last("setns"))")
      _exit(126)
    }
    close(descriptors[0])
    close(descriptors[1])
    arguments.listeners = Array(descriptors.dropFirst(2))
    setTitle("netloom-node " + words.joined(separator: " "))
    return arguments
  }

  /// Over the arguments that the server was started with; they lie one behind the other.
  private static func setTitle(_ title: String) {
    guard let first = CommandLine.unsafeArgv[0], let last = CommandLine.unsafeArgv[Int(CommandLine.argc) - 1] else {
      return
    }
    nl_set_title(first, last - first + strlen(last) + 1, title)
  }

  /// Uses once what every agent uses at its start, so that the copies find it looked up.
  private static func warmUp() {
    var desired = NLFromController()
    desired.desired.version = 1
    desired.desired.speaker = sampleSpeaker
    if let bytes = try? desired.serializedBytes() as [UInt8], let read = try? NLFromController(serializedBytes: bytes) {
      _ = try? SpeakerConfiguration(read.desired.speaker)
    }
    var told = NLToController()
    told.hello.applied = ["speaker": 1]
    _ = try? frame(told)
    told.sample.links = [.with { $0.interface = "eth1" }]
    told.sample.sessions = [.with { $0.families = [.with { $0.family = .ipv4Unicast }] }]
    _ = try? frame(told)
    told.event.text = "up"
    _ = try? frame(told)
    // A node of the lab's own namespace. Its loop never runs, so it neither connects nor writes a route.
    if let loop = try? EventLoop(), let node = try? Node(loop: loop, log: Log()) {
      try? node.apply(sampleSpeaker)
      _ = node.sample()
    }
  }

  private static var sampleSpeaker: NLSpeakerConfig {
    .with {
      ($0.asn, $0.routerID, $0.fib) = (64496, 1, true)
      ($0.ipv4, $0.ipv6) = (true, true)
      $0.networks = [
        .with {
          $0.address = Data([192, 0, 2, 0])
          $0.length = 24
        }
      ]
      $0.neighbors = [
        .with {
          ($0.name, $0.asn, $0.passive, $0.hold) = ("peer", 64497, true, 9)
          $0.address = Data([127, 0, 0, 1])
        }
      ]
    }
  }
}
