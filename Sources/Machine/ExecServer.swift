// machine.sock: commands that the CLI runs in a node, and the order to stop. Any number at once.
//
//   client ── Execute + stdin, stdout, stderr ──► the program runs on these descriptors themselves
//   client ── Execute, terminal ──► a new pty; its master goes to the client, the program leads a session on it
import CLinux
import Glibc
import ControlProtocol
import EventLoop

final class ExecServer {
  unowned var machine: LabMachine?
  private let lab: LabContext
  private let rootless: Bool
  private let listener: FileDescriptor
  private var sessions: [ObjectIdentifier: ExecSession] = [:]

  init(_ lab: LabContext, rootless: Bool) throws(SystemError) {
    self.lab = lab
    self.rootless = rootless
    listener = try UnixSocket.listen(lab.directory.machineSocket)
    try lab.loop.register(listener.rawValue, .read) { [unowned self] _ in accept() }
  }

  private func accept() {
    do throws(SystemError) {
      while let socket = try UnixSocket.accept(listener.rawValue) {
        guard try mayConnect(socket.rawValue) else { continue }
        let session = ExecSession(lab, try StreamConnection(lab.loop, socket), machine) { [unowned self] session in
          sessions[ObjectIdentifier(session)] = nil
        }
        sessions[ObjectIdentifier(session)] = session
      }
    } catch {
      MachineLog.warning("machine.sock: \(error)")
      lab.loop.rest(listener.rawValue, nanoseconds: EventLoop.milliseconds(100))
    }
  }

  /// The socket's mode and directory let nobody in but the lab's user and root; this is the second lock. In a user
  /// namespace our user is 0, and root outside has no number: it appears as the overflow id.
  private func mayConnect(_ socket: Int32) throws(SystemError) -> Bool {
    let user = try UnixSocket.peerCredentials(socket).user
    return user == geteuid() || (rootless && user == 65534)
  }
}
