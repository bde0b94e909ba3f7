// One BGP speaker on one event loop and one thread: it owns the routes, the sessions, their sockets and timers, and moves
// bytes between them.
//
//   listener, sockets ─► Neighbor ─► Session (BGPCore)             what the protocol wants done
//                           │  └───► RoutingTable.receive          UPDATEs, in place from the read buffer
//                           ▼
//                       round: decide, write, tell the FIB         (Speaker+Rounds)
//
// Sockets are only read and timers only served between rounds, and a round is bounded, so KEEPALIVEs go out on time
// however long the table has to work. Who uses it: the node agent (Desired → `apply`, links → `linkDown`/`linkUp`,
// `sample`, `onFIB`), the standalone speaker, tests.
//
// Deliberately absent: threads, the kernel's routes (the agent drains them from the table), any knowledge of labs.

public import BGPCore
public import BGPWire
import CLinux
public import EventLoop
import Glibc
import NetTypes

/// See the top of the file.
public final class Speaker {
  /// Every session event, in order.
  public var onEvent: ((SpeakerEvent) -> Void)?
  /// There are changes to drain: `update { $0.drainFIB… }`. Called at the end of a round of decisions.
  public var onFIB: (() -> Void)?
  /// What `activeFlowSpecs` returns has changed. Called at the end of a round of decisions.
  public var onFlowSpecs: (() -> Void)?
  /// Route selection was deferred after a restart and has now been made (RFC 4724 section 4.1), and `drainFIB` has
  /// handed everything over: what the kernel holds and the table does not is to be swept. Called once; also when
  /// nothing had to be deferred.
  public var onRestartComplete: (() -> Void)?
  /// Sees what goes into the session machines; nil: nobody looks.
  public weak var recorder: (any SessionRecorder)?

  /// The port of BGP (RFC 4271 section 8.2.1).
  public static let port: UInt16 = 179

  let loop: EventLoop
  var table: RoutingTable
  let readBuffer = ReadBuffer()
  /// By `PeerSettings.session`.
  var neighbors: [String: Neighbor] = [:]
  var configuration: SpeakerConfiguration?
  var listeners: [Int32]
  /// Connections that only wait for their last octets to be taken.
  var closing: [Connection: PeerConnection] = [:]
  var downInterfaces: Set<String> = []
  private var connectionCount: UInt32 = 0

  // Rounds
  var isRoundScheduled = false
  var hasNewInput = false
  var heldSince: Instant?
  var sessionChanges: UInt64 = 0
  /// Of the rules that `onFlowSpecs` was called for last.
  var flowVersionTold: UInt64 = 0

  // Restart
  let preserved: FamilySet
  var restart = Restart.waiting
  var restartTimer: LoopTimer?

  var whenStopped: (() -> Void)?

  /// - Parameters:
  ///   - listeners: listening TCP sockets, already bound to port 179; owned by the speaker from here on.
  ///   - preserved: families whose routes the kernel kept from an earlier process (restart and forwarding bits of
  ///     RFC 4724 are sent, and selection is deferred). Empty: a first start.
  ///   - options: of the routing table; the node agent sets `tracksFIB` where the kernel is written.
  public init(
    loop: EventLoop, listeners: [Int32] = [], preserved: FamilySet = [], options: TableOptions = TableOptions()
  ) {
    self.loop = loop
    self.listeners = []
    self.preserved = preserved
    table = RoutingTable(settings: TableSettings(asn: ASNumber(0), routerID: 0), options: options)
    for listener in listeners { adopt(listener: listener) }
  }

  deinit {
    restartTimer?.cancel()
    for neighbor in neighbors.values { neighbor.vanish() }
    closeListeners()
    for connection in closing.values { connection.abort() }
  }

  // MARK: Links

  /// Ends every eBGP session on the interface at once and drops its routes (no graceful restart).
  public func linkDown(_ interface: String) {
    guard downInterfaces.insert(interface).inserted else { return }
    for neighbor in sorted where neighbor.interface == interface { neighbor.deliver(.linkDown) }
  }

  /// Connects at once the sessions on the interface.
  public func linkUp(_ interface: String) {
    downInterfaces.remove(interface)
    for neighbor in sorted where neighbor.interface == interface || neighbor.findsInterface {
      neighbor.deliver(.linkUp)
    }
  }

  // MARK: Operator

  /// Ends the neighbor's sessions with Cease (administrative reset); they come back at once.
  /// - Parameter neighbor: `PeerSettings.name` or `.session`. false: there is none.
  public func reset(neighbor: String) -> Bool {
    let found = named(neighbor)
    for neighbor in found { neighbor.deliver(.reset(Notification(.administrativeReset))) }
    return !found.isEmpty
  }

  /// Asks the neighbor for its routes again (RFC 2918). false: no such neighbor, or none of its sessions can.
  public func refresh(neighbor: String) -> Bool {
    named(neighbor).reduce(false) { $1.sendRefresh() || $0 }
  }

  /// The table's numbers of a neighbor's sessions, for `RouteQuery.peers`.
  /// - Parameter neighbor: `PeerSettings.name` or `.session`.
  public func peers(named neighbor: String) -> [PeerIndex] { named(neighbor).map(\.index) }

  private func named(_ name: String) -> [Neighbor] {
    sorted.filter { $0.configuration.peer.name == name || $0.configuration.peer.session == name }
  }

  /// In an order that does not change from run to run.
  var sorted: [Neighbor] { neighbors.values.sorted { $0.index < $1.index } }

  /// Cease (administrative shutdown, with `reason` as RFC 9003 text) to all, then `done` once it is written.
  public func stop(reason: String = "", done: @escaping () -> Void) {
    closeListeners()
    for neighbor in sorted {
      neighbor.deliver(.stop(.cease(.administrativeShutdown, text: reason)))
    }
    guard !closing.isEmpty else { return done() }
    whenStopped = done
  }

  // MARK: For neighbors

  func newConnection(isOutgoing: Bool) -> Connection {
    connectionCount += 1
    return Connection(number: connectionCount, isOutgoing: isOutgoing)
  }

  func keepUntilClosed(_ connection: PeerConnection) { closing[connection.id] = connection }

  func closed(_ id: Connection) {
    guard closing.removeValue(forKey: id) != nil, closing.isEmpty, let done = whenStopped else { return }
    whenStopped = nil
    loop.enqueue(done)
  }

  func report(_ kind: SpeakerEvent.Kind, _ neighbor: Neighbor, _ text: String) {
    let peer = neighbor.configuration.peer
    onEvent?(SpeakerEvent(kind: kind, session: peer.session, neighbor: peer.name, text: text))
  }

  func noteSessionChange() {
    sessionChanges += 1
    scheduleRound()
  }
}

/// Why a configuration, or a listener, was refused.
public struct SpeakerError: Error, Sendable, Equatable, CustomStringConvertible {
  /// `neighbor NAME`, `policy NAME`, `listener`; empty: the speaker as a whole.
  public var offender: String
  public var reason: String

  public init(offender: String, reason: String) {
    self.offender = offender
    self.reason = reason
  }

  public var description: String { offender.isEmpty ? reason : "\(offender): \(reason)" }
}
