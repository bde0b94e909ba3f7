// One relay of delayed links: the process, and the socket pair over which it is told of links and delays. A new process
// gets a new pair and the delays that are in force then.
import CLinux
import EventLoop
import Glibc
import Netlink
import Relay

final class RelayProcess {
  private(set) lazy var supervisor = Supervisor(
    lab, node: "", name: name, started: { [unowned self] in handedOver() },
    request: { [unowned self] _ in try request() })
  private let lab: LabContext
  private let name: String
  private let namespace: Namespace
  private let links: () -> [RelayedLink]
  /// `isReady` has changed.
  private let changed: () -> Void
  private var channel: Int32 = -1
  /// The process's end of the pair, until it has it.
  private var others: Int32 = -1
  /// Its sockets are open: packets pass.
  private(set) var isReady = false
  private var failure: String?
  private var waiting: [(link: UInt32, done: () -> Void)] = []
  private var counting: [(link: UInt32, done: (LinkCounts?) -> Void)] = []

  typealias LinkCounts = (aToB: CarriedPackets, bToA: CarriedPackets)

  init(
    _ lab: LabContext, name: String, _ namespace: Namespace, links: @escaping () -> [RelayedLink],
    changed: @escaping () -> Void
  ) {
    self.lab = lab
    self.name = name
    self.namespace = namespace
    self.links = links
    self.changed = changed
  }

  private func request() throws -> LoggedRequest {
    handedOver()  // of a start that failed
    close()
    let (mine, theirs) = try UnixSocket.pair(packets: true)
    (channel, others) = (mine, theirs)
    let text = Array(links().map { RelayOrder.link($0).text }.joined(separator: "\n").utf8)
    try systemCall("send", name) { send(mine, text, text.count, Int32(MSG_NOSIGNAL)) }
    try lab.loop.register(mine, .read) { [unowned self] _ in hear() }
    var logged = lab.request([lab.program("netloom-machine"), "--relay", "\(theirs)"], log: name)
    logged.request.network = namespace.fileDescriptor
    logged.request.keep = [theirs]
    return logged
  }

  private func handedOver() {
    if others >= 0 { _ = Glibc.close(others) }
    others = -1
  }

  private func close() {
    guard channel >= 0 else { return }
    lab.loop.unregister(channel)
    _ = Glibc.close(channel)
    channel = -1
    let was = isReady
    isReady = false
    if was { changed() }
    // The next one is started with what was ordered.
    let done = waiting
    waiting = []
    for entry in done { entry.done() }
    let unanswered = counting
    counting = []
    for entry in unanswered { entry.done(nil) }
  }

  /// Waits for its first word, 10 s at most.
  func awaitReady() throws(BuildError) {
    let limit = EventLoop.clock() + 10_000_000_000
    while !isReady {
      let now = EventLoop.clock()
      var ready = pollfd(fd: channel, events: Int16(POLLIN), revents: 0)
      if supervisor.pid > 0, channel >= 0, now < limit {
        if poll(&ready, 1, Int32((limit - now) / 1_000_000) + 1) > 0 { hear() }
        continue
      }
      throw BuildError(
        "the relay of delayed links does not start: \(failure ?? supervisor.lastExit); see logs/\(name).log")
    }
  }

  private func hear() {
    var buffer = [UInt8](repeating: 0, count: 1024)
    let count = recv(channel, &buffer, buffer.count, Int32(MSG_DONTWAIT))
    if count < 0, errno == EAGAIN || errno == EINTR { return }
    guard count > 0 else { return close() }  // it has ended
    switch RelayAnswer(String(decoding: buffer[..<count], as: UTF8.self)) {
    case .ready:
      isReady = true
      changed()
    case .set(let link):
      guard let place = waiting.firstIndex(where: { $0.link == link }) else { return }
      waiting.remove(at: place).done()
    case .counts(let link, let aToB, let bToA):
      guard let place = counting.firstIndex(where: { $0.link == link }) else { return }
      counting.remove(at: place).done((aToB, bToA))
    case .failed(let reason):
      failure = reason
      MachineLog.error("\(name): \(reason)")
    case nil: MachineLog.error("\(name) said something unexpected")
    }
  }

  /// Tells it, and calls back once it has done so. One that is being started has it from the start.
  func order(_ order: RelayOrder, _ done: @escaping () -> Void) {
    guard case .delay(let link, _, _) = order, channel >= 0 else { return done() }
    let text = Array(order.text.utf8)
    guard send(channel, text, text.count, Int32(MSG_NOSIGNAL)) == text.count else { return done() }
    waiting.append((link, done))
  }

  /// Asks what a link has carried; nil: no relay runs that could say it.
  func count(_ link: UInt32, _ done: @escaping (LinkCounts?) -> Void) {
    guard isReady, channel >= 0 else { return done(nil) }
    let text = Array(RelayOrder.count(link: link).text.utf8)
    guard send(channel, text, text.count, Int32(MSG_NOSIGNAL)) == text.count else { return done(nil) }
    counting.append((link, done))
  }
}
