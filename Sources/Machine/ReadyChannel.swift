import CLinux
import Glibc
import EventLoop

/// How the init tells how far it has come: `progress TEXT` and `ready` to the one who ran `up`, and to the outer parent
/// `ready`, `stopped` or the error with which it gives up.
final class ReadyChannel {
  private var ready: Int32
  private let control: Int32

  init(ready: Int32, control: Int32) {
    self.ready = ready
    self.control = control
  }

  func progress(_ text: String) { say("progress \(text)", to: ready) }

  func built() {
    say("ready", to: ready)
    if ready >= 0 { _ = close(ready) }
    ready = -1
    say("ready", to: control)
  }

  func stopped() { say("stopped", to: control) }

  func failed(_ text: String) {
    MachineLog.error(text)
    say("error \(text.split(separator: "\n").joined(separator: " "))", to: control)
  }

  private func say(_ line: String, to descriptor: Int32) {
    guard descriptor >= 0 else { return }
    let bytes = Array((line + "\n").utf8)
    _ = write(descriptor, bytes, bytes.count)  // nobody listens any more: nobody minds
  }
}
