internal import CLinux
import Glibc
internal import ControlProtocol

/// Events on their way to the controller. While it is away they wait here, the oldest giving way when there are too
/// many: the log has them all.
struct EventQueue {
  private static let limit = 1000
  private var waiting: [NLEvent] = []
  private var dropped = 0

  static func message(_ event: Node.Event) -> NLEvent {
    var message = NLEvent()
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    message.atNs = UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    message.kind = event.kind
    message.subject = event.subject
    message.text = event.text
    return message
  }

  mutating func append(_ event: NLEvent) {
    if waiting.count == Self.limit {
      waiting.removeFirst(Self.limit / 4)
      dropped += Self.limit / 4
    }
    waiting.append(event)
  }

  /// Everything that waits, with a word about what had to go.
  mutating func takeAll() -> [NLEvent] {
    defer {
      waiting = []
      dropped = 0
    }
    guard dropped > 0 else { return waiting }
    let note = Self.message(Node.Event(kind: "error", subject: "", text: "\(dropped) events were dropped"))
    return [note] + waiting
  }
}
