// One neighbor as the speaker drives it: the session machine, its connections, its timer and its place in the table.
//
//   sockets, timer, links ── SessionEvent ──► Session ── SessionAction ──► perform ─► sockets, timer, table
//
// Events that come up while actions are performed (a connection refused at once) wait until those are done, so the
// machine never sees two events at a time.

import BGPCore
import BGPWire
import CLinux
import EventLoop
import Glibc
import NetTypes

final class Neighbor {
  private unowned let speaker: Speaker
  private let loop: EventLoop
  private(set) var configuration: NeighborConfiguration
  /// The configuration's, with next hops that were found out.
  private var settings: PeerSettings
  let index: PeerIndex
  private(set) var session: Session
  private var connections: [PeerConnection] = []
  private var attempt: Attempt?
  private var events: [SessionEvent] = []
  private var isDelivering = false
  private lazy var timer = LoopTimer(loop) { [weak self] in self?.wake() }
  private lazy var sendHold = LoopTimer(loop) { [weak self] in self?.checkSendHold() }

  // Of the Established session.
  private(set) var updatesSent: UInt64 = 0
  private var updatesReceived: UInt64 = 0
  private(set) var updatesProcessed: UInt64 = 0
  private(set) var establishedAt: UInt64?
  private var faultsReported = 0
  private var foundInterface: String?
  /// Why the last connection or session ended, for people.
  private(set) var lastError: String?
  private var reportedError: String?
  private var lastSocketError: SystemError?

  /// A connection that is being made.
  private struct Attempt {
    let connection: Connection
    let socket: Int32
  }

  init(_ speaker: Speaker, _ configuration: NeighborConfiguration, _ index: PeerIndex, _ session: Session) {
    self.speaker = speaker
    loop = speaker.loop
    self.configuration = configuration
    settings = configuration.peer
    self.index = index
    self.session = session
  }

  /// Ends everything without a word, as the end of the process would.
  func vanish() {
    timer.cancel()
    sendHold.cancel()
    dropAttempt()
    for connection in connections { connection.abort() }
    connections = []
  }

  /// The interface whose loss ends the session: configured, or, for an eBGP session over one link, found out when it
  /// came up. nil: the session does not depend on one.
  var interface: String? { isOnLink ? configuration.transport.interface ?? foundInterface : nil }

  /// Over one link, which is not written down.
  var findsInterface: Bool { isOnLink && configuration.transport.interface == nil }

  private var isOnLink: Bool { isExternal && !configuration.peer.multihop }

  var isExternal: Bool { session.parameters.isExternal }

  /// A changed transport or identity: the old machine has been stopped.
  func replace(_ session: Session) { self.session = session }

  func announce(_ restart: RestartAnnouncement) { session.restart = restart }

  /// The connection that carries the Established session.
  var established: PeerConnection? { session.connection.flatMap(connection) }

  /// The connection that is furthest, for people.
  var current: PeerConnection? { established ?? connections.last }

  private func connection(_ id: Connection) -> PeerConnection? { connections.first { $0.id == id } }
}

// MARK: - Events

extension Neighbor {
  func deliver(_ event: SessionEvent) {
    events.append(event)
    guard !isDelivering else { return }
    isDelivering = true
    while !events.isEmpty { step(events.removeFirst()) }
    isDelivering = false
  }

  private func step(_ event: SessionEvent) {
    let now = Instant(nanoseconds: EventLoop.clock())
    let before = session.state
    let loss = session.lastLoss
    let actions = session.handle(event, now: now)
    speaker.recorder?.record(
      session: configuration.peer.session, parameters: session.parameters, event: event, at: now, actions: actions)
    for action in actions { perform(action) }
    if session.state != before || session.lastLoss != loss { told(before) }
  }

  private func perform(_ action: SessionAction) {
    switch action {
    case .connect: connect()
    case .cancelConnect: dropAttempt()
    case .send(let id, let bytes):
      guard let connection = connection(id), connection.isOpen else { return }
      connection.output.append(contentsOf: bytes)
      connection.flush()
      watchSendHold(connection)
    case .close(let id): close(id)
    case .up(let id, let agreement): up(id, agreement)
    case .down(_, let retaining):
      establishedAt = nil
      sendHold.cancel()
      speaker.table.sessionDown(index, retainingStale: retaining)
      speaker.scheduleRound()
    case .dropStale(let families):
      for family in Family.allCases where families.contains(family) { speaker.table.sweepStale(index, family) }
      speaker.scheduleRound()
    case .refresh(let family):
      speaker.table.sendAgain(index, family)
      speaker.scheduleRound()
    case .wake(let instant): timer.arm(at: instant.nanoseconds)
    }
  }

  private func up(_ id: Connection, _ agreement: Agreement) {
    guard let connection = connection(id) else { return }
    updatesSent = 0
    updatesReceived = 0
    updatesProcessed = 0
    faultsReported = 0
    lastSocketError = nil
    reportedError = nil
    establishedAt = Self.bootMilliseconds()
    if findsInterface { foundInterface = TCPSocket.interface(of: connection.local.address) }
    completeNextHops(local: connection.local.address, agreement.families)
    speaker.table.sessionUp(
      index,
      Negotiated(
        families: agreement.families, fourOctetAS: agreement.hasFourOctetAS, peerRouterID: agreement.remoteID,
        localAddress: connection.local.address))
    speaker.scheduleRound()
  }

  /// Routes of the other family than the session's need an address of ours of that family as next hop. Where none is
  /// configured it is looked for on the interface of the session.
  private func completeNextHops(local: IPAddress, _ families: FamilySet) {
    let other: Family = local.family == .ipv4 ? .ipv6Unicast : .ipv4Unicast
    var next = configuration.peer
    let isKnown = other == .ipv6Unicast ? next.nextHopIPv6 != nil : next.nextHopIPv4 != nil
    if families.contains(other), !isKnown {
      switch TCPSocket.companion(of: local) {
      case .v4(let address)?: next.nextHopIPv4 = address
      case .v6(let address)?: next.nextHopIPv6 = address
      case nil: speaker.report(.error, self, "no \(other) address beside \(local): no next hop for such routes")
      }
    }
    tell(next)
  }

  /// What the table is told; changes at once, without a reset.
  func update(_ wanted: NeighborConfiguration) {
    configuration = wanted
    var next = wanted.peer
    if session.state == .established {
      next.nextHopIPv4 = next.nextHopIPv4 ?? settings.nextHopIPv4
      next.nextHopIPv6 = next.nextHopIPv6 ?? settings.nextHopIPv6
    }
    tell(next)
  }

  /// A limit that was lowered counts for what is held already (RFC 4486 section 4).
  func enforceMaxPrefix() {
    guard let id = session.connection, let notification = speaker.table.maxPrefixesExceeded(by: index) else { return }
    deliver(.failed(id, notification))
  }

  private func tell(_ next: PeerSettings) {
    guard next != settings else { return }
    settings = next
    speaker.table.updatePeer(index, next)
  }

  /// CLOCK_BOOTTIME.
  private static func bootMilliseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
  }

  private func wake() {
    // Input that waits in the socket counts: a hold timer must not run out because this process was busy.
    if let established { established.readOnce(speaker.readBuffer) }
    deliver(.wake)
  }

  /// The state or the reason of a loss has changed.
  private func told(_ before: SessionState) {
    speaker.noteSessionChange()
    if let loss = session.lastLoss, session.state < .established {
      lastError = loss == .connectionLost ? lastSocketError.map { "\($0)" } ?? "\(loss)" : "\(loss)"
    }
    if session.state == .established, before != .established, let agreement = session.agreement {
      let families = Family.allCases.filter { agreement.families.contains($0) }.map(\.description)
      speaker.report(
        .session, self, "established with AS \(agreement.remoteASN), \(families.joined(separator: " and "))")
    } else if before == .established, session.state != .established {
      speaker.report(.session, self, "down: \(lastError ?? "stopped")")
    } else if session.state < .openSent, before >= .openSent, let lastError, lastError != reportedError {
      reportedError = lastError  // a peer that refuses every attempt the same way is worth one line
      speaker.report(.error, self, lastError)
    }
  }
}

// MARK: - Connections

extension Neighbor {
  private var route: TCPSocket.Route {
    let transport = configuration.transport
    let remote = Endpoint(
      address: configuration.peer.address, port: transport.port == 0 ? Speaker.port : transport.port)
    return TCPSocket.Route(
      remote: remote, local: transport.localAddress, scope: scope, reach: reach, key: transport.md5Key)
  }

  /// Which interface a link-local address is on; 0: no matter.
  var scope: UInt32 {
    guard configuration.peer.address.isLinkLocal, let interface = configuration.transport.interface else { return 0 }
    return if_nametoindex(interface)
  }

  private var reach: TCPSocket.Reach {
    if configuration.transport.ttlSecurity { return .secured }
    return isExternal && !configuration.peer.multihop ? .link : .far
  }

  private func connect() {
    dropAttempt()
    do throws(SystemError) {
      let socket = try TCPSocket.connect(route).release()
      let attempt = Attempt(connection: speaker.newConnection(isOutgoing: true), socket: socket)
      self.attempt = attempt
      try loop.register(socket, .write) { [weak self] _ in self?.decided(attempt) }
    } catch {
      dropAttempt()
      lastSocketError = error
      deliver(.connectFailed)
    }
  }

  /// The kernel knows whether our connection came about.
  private func decided(_ attempt: Attempt) {
    guard self.attempt?.socket == attempt.socket else { return }
    if let error = TCPSocket.pendingError(attempt.socket, "\(route.remote)") {
      dropAttempt()
      lastSocketError = error
      return deliver(.connectFailed)
    }
    loop.unregister(attempt.socket)
    self.attempt = nil
    guard add(attempt.connection, FileDescriptor(owning: attempt.socket)) else { return deliver(.connectFailed) }
    deliver(.connected(attempt.connection))
  }

  private func dropAttempt() {
    guard let attempt else { return }
    loop.unregister(attempt.socket)
    _ = Glibc.close(attempt.socket)
    self.attempt = nil
  }

  /// The neighbor has connected.
  func accept(_ socket: consuming FileDescriptor) {
    let raw = socket.rawValue
    do throws(SystemError) {
      try TCPSocket.prepare(raw, reach, configuration.peer.address)
    } catch {
      return speaker.report(.error, self, "\(error)")
    }
    let id = speaker.newConnection(isOutgoing: false)
    if add(id, socket) { deliver(.accepted(id)) }
  }

  private func add(_ id: Connection, _ socket: consuming FileDescriptor) -> Bool {
    do throws(SystemError) {
      let connection = try PeerConnection(loop, id, socket)
      connection.onBytes = { [weak self] in self?.received($0, on: id) ?? $0.count }
      connection.onEnd = { [weak self] in self?.ended(id, $0) }
      connection.onWritable = { [weak self] in self?.speaker.scheduleRound() }
      connection.onClosed = { [weak speaker] in speaker?.closed(id) }
      try connection.start(speaker.readBuffer)
      connections.append(connection)
      return true
    } catch {
      lastSocketError = error
      return false
    }
  }

  private func ended(_ id: Connection, _ error: SystemError?) {
    lastSocketError = error
    connections.removeAll { $0.id == id }
    deliver(.closed(id))
  }

  private func close(_ id: Connection) {
    guard let connection = connection(id) else { return }
    connections.removeAll { $0.id == id }
    if session.lastLoss == .linkDown, !session.isLinkUp {
      connection.abort()  // nobody is there to take leave of
    } else {
      speaker.keepUntilClosed(connection)
      connection.finish()
    }
  }
}

// MARK: - Messages in

extension Neighbor {
  /// Frames what has come and hands it on.
  /// - Returns: how many octets were whole messages.
  private func received(_ bytes: UnsafeRawBufferPointer, on id: Connection) -> Int {
    speaker.recorder?.record(
      session: configuration.peer.session, connection: id, bytes: bytes, at: Instant(nanoseconds: EventLoop.clock()))
    var used = 0
    var sawUpdate = false
    do throws(MessageError) {
      while let connection = connection(id), connection.isOpen {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[used...])
        guard let header = try MessageHeader.frame(rest) else { break }
        used += header.length
        if header.type == .update, session.connection == id {
          sawUpdate = true
          take(UnsafeRawBufferPointer(rebasing: rest[MessageHeader.size..<header.length]), on: id)
        } else {
          deliver(.received(id, try Message(header, in: rest)))
        }
      }
    } catch {
      deliver(.failed(id, error.notification))
    }
    if sawUpdate {
      deliver(.received(id, .update))
      speaker.noteInput()
    }
    return used
  }

  private func take(_ body: UnsafeRawBufferPointer, on id: Connection) {
    updatesReceived += 1
    switch speaker.table.receive(update: body, from: index) {
    case .accepted: break
    case .endOfRIB(let family): deliver(.endOfRIB(family))
    case .familyDisabled(let family, let fault):
      reportFault("malformed flow rule (\(fault)): \(family) is ignored until the session ends")
    case .attributesDiscarded(let fault): reportFault("attribute discarded: \(fault)")
    case .treatedAsWithdraw(let fault): reportFault("UPDATE treated as withdraw: \(fault)")
    case .sessionReset(let notification, let fault):
      reportFault("UPDATE ends the session: \(fault)")
      deliver(.failed(id, notification))
    case .maxPrefixesExceeded(let notification): deliver(.failed(id, notification))
    }
  }

  /// A peer that sends nothing but faults is not worth a line each.
  private func reportFault(_ text: String) {
    faultsReported += 1
    guard faultsReported <= 10 else { return }
    speaker.report(.error, self, faultsReported == 10 ? text + " (further ones are not reported)" : text)
  }

  /// Everything that came has been decided on.
  func noteProcessed() { updatesProcessed = updatesReceived }

  /// A message has begun to arrive.
  var hasPartialInput: Bool { connections.contains { $0.hasTail } }
}

// MARK: - Messages out

extension Neighbor {
  /// Most octets of UPDATEs that wait for one neighbor outside the table.
  private static let outputBound = 64 * 1024
  private static let burst = 16

  /// Writes UPDATEs while the socket takes them.
  /// - Returns: whether there is more to write at once.
  func pump() -> Bool {
    guard let connection = established else { return false }
    var count = 0
    while !connection.isBlocked, connection.isOpen, speaker.table.hasOutput(for: index) {
      if count == Self.burst { return true }
      let written = speaker.table.writeMessages(for: index, into: &connection.output, limit: Self.outputBound)
      updatesSent += UInt64(written.messages)
      connection.flush()
      count += 1
      if written.messages == 0 { break }
    }
    watchSendHold(connection)
    return false
  }

  /// UPDATEs, or anything else, wait for the socket.
  var hasOutput: Bool {
    guard let established else { return false }
    return !established.output.isEmpty || speaker.table.hasOutput(for: index)
  }

  /// Asks for the neighbor's routes again; false: it cannot be asked.
  func sendRefresh() -> Bool {
    guard let established, let agreement = session.agreement, agreement.hasRouteRefresh else { return false }
    for family in Family.allCases where agreement.families.contains(family) {
      established.output.append(contentsOf: RouteRefresh(family).encode())
    }
    established.flush()
    return true
  }

  // RFC 9687: a peer that takes nothing although it sends KEEPALIVEs holds the session for ever otherwise.

  private func watchSendHold(_ connection: PeerConnection) {
    guard let since = connection.blockedSince, let hold = session.agreement?.holdSeconds, hold > 0 else {
      return sendHold.cancel()
    }
    sendHold.arm(at: since.adding(seconds: max(480, 2 * UInt64(hold))).nanoseconds)
  }

  private func checkSendHold() {
    guard let established, established.blockedSince != nil else { return }
    deliver(.sendHoldExpired)
  }
}
