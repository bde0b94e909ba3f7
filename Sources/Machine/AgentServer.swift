// A warm netloom-node that makes the agents of a large lab by fork while it is built: loading the program afresh for each
// of two hundred nodes costs more than the rest of their start. It ends when this object goes.
import CLinux
import EventLoop
import Glibc

final class AgentServer {
  /// Below this many agents a server costs more than it saves.
  static let worthwhile = 16

  private let socket: FileDescriptor
  private var isReady = false
  /// It did not do what it should: agents are executed as usual.
  private var hasFailed = false

  /// Starts it; it gets ready while the links are made.
  init?(_ lab: LabContext) {
    do {
      let (mine, theirs) = try UnixSocket.pair(nonBlocking: false, packets: true)
      socket = FileDescriptor(owning: mine)
      let other = FileDescriptor(owning: theirs)
      var patience = timeval(tv_sec: 1, tv_usec: 0)
      setsockopt(mine, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
      var logged = lab.request(
        [lab.program("netloom-node"), "--serve", "\(other.rawValue)", "--room", Self.room], log: "machine")
      logged.request.keep = [other.rawValue]
      _ = try lab.start(logged) { _ in }
    } catch {
      MachineLog.warning("agents are executed one by one: \(error)")
      return nil
    }
  }

  /// Makes an agent. nil: it could not, and the request is to be executed.
  func start(_ request: SpawnRequest) -> Int32? {
    guard !hasFailed, awaitReady() else { return nil }
    var words: [UInt8] = []
    for word in request.argv.dropFirst() { words += Array(word.utf8) + [0] }
    do {
      let sent = try words.withUnsafeBytes {
        try UnixSocket.send(socket.rawValue, $0, descriptors: [request.network, request.output] + request.keep)
      }
      if sent == words.count, let pid = answer(), pid > 0 { return pid }
    } catch {
      MachineLog.warning("agents are executed one by one: \(error)")
    }
    hasFailed = true
    return nil
  }

  private func awaitReady() -> Bool {
    if !isReady { isReady = answer() == 0 }
    hasFailed = !isReady
    return isReady
  }

  private func answer() -> Int32? {
    var number: Int32 = 0
    return recv(socket.rawValue, &number, 4, 0) == 4 ? number : nil
  }

  /// An argument whose place the titles of the agents take.
  private static let room = String(repeating: " ", count: 200)
}
