internal import CLinux
internal import EventLoop
import Glibc

/// `netloom-machine --relay FD`: started by netloom-machine in the namespace that holds the far ends; FD is its end of the
/// socket pair of `RelayOrder`. SIGUSR1 writes the statistics to standard error, SIGTERM writes them and ends.
public enum RelayProgram {
  public static func main(_ arguments: [String]) -> Int32 {
    guard let text = arguments.first, arguments.count == 1, let channel = Int32(text), nl_get_flags(channel) >= 0 else {
      say("usage: netloom-machine --relay FD")
      return 2
    }
    comeFirst()
    do throws(SystemError) {
      let service = try RelayService(channel)
      return try service.run()
    } catch {
      answer(channel, .failed("\(error)"))
      say("\(error)")
      return 1
    }
  }

  /// What a busy machine's processes take from each other would show as delay: a realtime process preempts them. It works
  /// for some microseconds per packet and sleeps; the kernel leaves others their share even from one that does not
  /// (sched_rt_runtime_us). Ordinary users are refused both and have to do without.
  private static func comeFirst() {
    var parameter = sched_param()
    parameter.sched_priority = 1
    if sched_setscheduler(0, SCHED_RR, &parameter) != 0 { _ = setpriority(PRIO_PROCESS, 0, -20) }
  }

  static func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(2, bytes, bytes.count)  // a full disk must not stop a link
  }

  static func answer(_ channel: Int32, _ answer: RelayAnswer) {
    let bytes = Array(answer.text.utf8)
    _ = send(channel, bytes, bytes.count, Int32(MSG_NOSIGNAL))  // nobody there: the next read says so
  }
}

/// A relay that is told what to do.
private final class RelayService {
  private let loop: EventLoop
  private let relay: PacketRelay
  private let channel: Int32
  private var isReady = false
  private var hasFailed = false

  init(_ channel: Int32) throws(SystemError) {
    self.channel = channel
    loop = try EventLoop()
    relay = try PacketRelay(loop)
  }

  func run() throws(SystemError) -> Int32 {
    try loop.onSignals([SIGUSR1, SIGTERM]) { [unowned self] signal in
      for line in relay.statistics { RelayProgram.say(line) }
      if signal == SIGTERM { loop.stop() }
    }
    try loop.register(channel, .read) { [unowned self] _ in hear() }
    try loop.run()
    return hasFailed ? 1 : 0
  }

  private func hear() {
    let count = recv(channel, loop.scratch.baseAddress, loop.scratch.count, Int32(MSG_DONTWAIT))
    if count < 0, errno == EAGAIN || errno == EINTR { return }
    guard count > 0 else { return loop.stop() }  // the lab is over
    do throws(SystemError) {
      for order in RelayOrder.all(in: UnsafeRawBufferPointer(rebasing: loop.scratch[..<count])) { try follow(order) }
    } catch {
      RelayProgram.answer(channel, .failed("\(error)"))
      RelayProgram.say("\(error)")
      hasFailed = true
      return loop.stop()
    }
    if !isReady { RelayProgram.answer(channel, .ready) }
    isReady = true
  }

  private func follow(_ order: RelayOrder?) throws(SystemError) {
    switch order {
    case .link(let link): try relay.add(link)
    case .delay(let link, let aToB, let bToA):
      guard relay.set(link: link, aToB: aToB, bToA: bToA) else { throw SystemError("delay", ENOENT, "link \(link)") }
      RelayProgram.answer(channel, .set(link: link))
    case .count(let link):
      guard let carried = relay.carried(link: link) else { throw SystemError("count", ENOENT, "link \(link)") }
      RelayProgram.answer(channel, .counts(link: link, aToB: carried.aToB, bToA: carried.bToA))
    case nil: throw SystemError("order", EINVAL, "from netloom-machine")
    }
  }
}
