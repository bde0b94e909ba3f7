import CLinux
import Glibc
import ControlProtocol
import EventLoop

/// The `exec` lines of one node: `/bin/sh -c` each, one after the other; the first that fails ends it.
final class ExecLines {
  private let lab: LabContext
  private unowned let node: Node
  private let finished: (_ failure: String?) -> Void
  private var next = 0
  private var pid: Int32 = 0
  private(set) var isDone = false

  init(_ lab: LabContext, _ node: Node, finished: @escaping (_ failure: String?) -> Void) {
    self.lab = lab
    self.node = node
    self.finished = finished
  }

  func start() { runNext() }

  /// Kills what runs; `finished` is not called any more.
  func cancel() {
    if pid > 0 {
      lab.table.forget(pid)
      ProcessTable.signal(group: pid, SIGKILL)
    }
    pid = 0
    isDone = true
  }

  private func runNext() {
    guard !isDone else { return }
    guard next < node.plan.exec.count else { return finish(nil) }
    let line = node.plan.exec[next]
    next += 1
    do {
      let request = try node.userRequest(["/bin/sh", "-c", line], log: "\(node.name).exec")
      pid = try lab.start(request) { [weak self] status in self?.ended(line, status) }
    } catch {
      finish("exec \"\(line)\": \(error)")
    }
  }

  private func ended(_ line: String, _ status: ProcessExit) {
    pid = 0
    if status == .exited(0) { return runNext() }
    var text = "exec \"\(line)\" failed: \(status)"
    if let word = lastLine { text += ": \(word)" }
    finish(text)
  }

  private func finish(_ failure: String?) {
    isDone = true
    finished(failure)
  }

  private var lastLine: String? {
    guard let text = try? SmallFile.text(lab.directory.log("\(node.name).exec")) else { return nil }
    return text.split(separator: "\n").last.map(String.init)
  }
}
