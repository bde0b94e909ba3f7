public import BGPCore
public import BGPWire
public import EventLoop
public import NetTypes

/// One BGP speaker: owns the routes, the sessions, their sockets and timers, on one event loop and one thread.
public final class Speaker {
  /// Every session event, in order.
  public var onEvent: ((SpeakerEvent) -> Void)?
  /// There are changes to drain: `update { $0.drainFIB… }`. Called once per round of decisions.
  public var onFIB: (() -> Void)?
  /// Route selection was deferred after a restart and has now been made (RFC 4724 section 4.1): what the kernel holds
  /// and the table does not is to be swept. Called once, after `onFIB`; also when nothing had to be deferred.
  public var onRestartComplete: (() -> Void)?

  /// - Parameters:
  ///   - listeners: listening TCP sockets, already bound to port 179; owned by the speaker from here on.
  ///   - preserved: families whose routes the kernel kept from an earlier process (restart and forwarding bits of
  ///     RFC 4724 are sent, and selection is deferred). Empty: a first start.
  ///   - options: of the routing table; the node agent sets `tracksFIB` where the kernel is written.
  public init(
    loop: EventLoop, listeners: [Int32] = [], preserved: FamilySet = [], options: TableOptions = TableOptions()
  ) { fatalError() }

  /// Reconciles with `configuration`: neighbors that did not change keep their sessions, a changed policy evaluates
  /// routes again without a reset, a changed transport resets that session alone. The same again changes nothing.
  /// On an error nothing of it was applied.
  public func apply(_ configuration: SpeakerConfiguration) throws(SpeakerError) { fatalError() }

  /// The routes, for queries, next-hop costs and the FIB. Work that it leaves behind is done in the next round.
  public func update<R>(_ body: (inout RoutingTable) throws -> R) rethrows -> R { fatalError() }

  /// Ends every eBGP session on the interface at once and drops its routes (no graceful restart).
  public func linkDown(_ interface: String) { fatalError() }
  /// Connects at once the sessions on the interface.
  public func linkUp(_ interface: String) { fatalError() }

  /// Ends the neighbor's sessions with Cease (administrative reset); they come back at once.
  /// - Parameter neighbor: `NeighborConfiguration.name` or `.session`. false: there is none.
  public func reset(neighbor: String) -> Bool { fatalError() }
  /// Asks the neighbor for its routes again (RFC 2918). false: no such neighbor, or none of its sessions can.
  public func refresh(neighbor: String) -> Bool { fatalError() }

  /// The table's numbers of a neighbor's sessions, for `RouteQuery.peers`.
  /// - Parameter neighbor: `NeighborConfiguration.name` or `.session`.
  public func peers(named neighbor: String) -> [PeerIndex] { fatalError() }

  /// The state between two events of the loop.
  public func sample() -> SpeakerSample { fatalError() }

  /// Cease (administrative shutdown, with `reason` as RFC 9003 text) to all, then `done` once it is written.
  public func stop(reason: String = "", done: @escaping () -> Void) { fatalError() }
}

/// Why a configuration, or a listener, was refused.
public struct SpeakerError: Error, Sendable, Equatable, CustomStringConvertible {
  /// `neighbor NAME`, `policy NAME`, `listener`; empty: the speaker as a whole.
  public var offender: String
  public var reason: String

  public var description: String { offender.isEmpty ? reason : "\(offender): \(reason)" }
}
