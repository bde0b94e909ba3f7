internal import EventLoop
internal import FoundationEssentials
internal import Glibc
internal import Lab

/// The log of a stage: what its commands print, and what the stage says itself, in one file. Appended to on each attempt.
final class StageLog: Sendable {
  let path: String
  let descriptor: Int32

  init(path: String) throws(LabError) {
    self.path = path
    do {
      descriptor = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_APPEND, mode: 0o600).release()
    } catch {
      throw LabError(.environment, "cannot write the log: \(error)")
    }
  }

  deinit { close(descriptor) }

  func line(_ text: String) { try? SmallFile.writeAll(descriptor, Array("[netloom] \(text)\n".utf8)) }
}
