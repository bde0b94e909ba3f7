// libFuzzer: a peer's bytes and a network's accidents against the framing, every session-level decoder and the session
// machine. The first octet chooses the configuration; then the input is a row of steps: one octet of control, and for
// the control that means "bytes come", one octet of length and the bytes. Whatever comes, the machine must not trap,
// what it sends must be messages that its own decoder takes, nothing is sent behind a NOTIFICATION on a connection, and
// every wake it asks for must lie ahead.

import BGPCore
import BGPWire
import NetTypes

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = UnsafeRawBufferPointer(start: start, count: count)
  guard let choice = input.first else { return 0 }
  var fuzzed = FuzzedSession(choice)
  var offset = 1
  while offset + 1 < input.count {
    let control = input[offset]
    guard control & 3 == 0 else {
      fuzzed.happen(control)
      offset += 1
      continue
    }
    let length = min(Int(input[offset + 1]), input.count - offset - 2)
    fuzzed.receive(control, UnsafeRawBufferPointer(rebasing: input[(offset + 2)..<(offset + 2 + length)]))
    offset += 2 + length
  }
  return 0
}

struct FuzzedSession {
  private var session: Session
  private var now = Instant(nanoseconds: 1)
  /// What has come on a connection and is no whole message yet.
  private var streams: [Connection: [UInt8]] = [:]
  /// Connections on which a NOTIFICATION was sent.
  private var notified: Set<Connection> = []
  private var count: UInt32 = 0
  private var isConnecting = false

  init(_ choice: UInt8) {
    let speaker = SpeakerConfiguration(table: TableSettings(asn: ASNumber(64500), routerID: 2))
    var peer = PeerSettings(
      name: "p", session: "p", asn: ASNumber(choice & 1 == 0 ? 64501 : 64500), address: .v4(IPv4Address(10, 0, 0, 1)))
    peer.roles = true
    peer.relation = choice & 2 == 0 ? .customer : .open
    var neighbor = NeighborConfiguration(peer: peer)
    neighbor.gracefulRestart = choice & 4 == 0 ? 120 : 0
    neighbor.timers.holdSeconds = choice & 8 == 0 ? 9 : 0
    neighbor.transport.isPassive = choice & 16 != 0
    session = Session(SessionParameters(speaker, neighbor))
    feed(.start)
  }

  private func connection(_ control: UInt8) -> Connection? {
    let open = streams.keys.sorted { $0.number < $1.number }
    return open.isEmpty ? nil : open[Int(control >> 4) % open.count]
  }

  mutating func happen(_ control: UInt8) {
    switch control >> 2 & 15 {
    case 0 where isConnecting: connected()
    case 1: accepted()
    case 2: feed(.connectFailed)
    case 3: feed(.linkDown)
    case 4: feed(.linkUp)
    case 5: feed(.reset(Notification(.administrativeReset)))
    case 6: feed(.stop(Notification(.administrativeShutdown)))
    case 7: feed(.start)
    case 8: feed(.endOfRIB(control & 64 == 0 ? .ipv4Unicast : .ipv6Unicast))
    case 9: feed(.sendHoldExpired)
    case 10: if let connection = session.connection { feed(.failed(connection, Notification(.maximumPrefixes))) }
    case 11:
      if let connection = connection(control) {
        streams[connection] = nil
        feed(.closed(connection))
      }
    default:
      now = now.adding(milliseconds: 1 << UInt64(control >> 4))
      feed(.wake)
    }
  }

  private mutating func connected() {
    count += 1
    let connection = Connection(number: count, isOutgoing: true)
    streams[connection] = []
    isConnecting = false
    feed(.connected(connection))
  }

  private mutating func accepted() {
    count += 1
    let connection = Connection(number: count, isOutgoing: false)
    streams[connection] = []
    feed(.accepted(connection))
  }

  mutating func receive(_ control: UInt8, _ bytes: UnsafeRawBufferPointer) {
    guard let connection = connection(control), var stream = streams[connection] else { return }
    stream += bytes
    // A marker is hard to guess: some controls bring one.
    if control & 8 != 0 { stream.insert(contentsOf: repeatElement(0xFF, count: 16), at: 0) }
    streams[connection] = []
    var used = 0
    do throws(MessageError) {
      while let message = try next(stream[used...]) {
        used += message.1
        feed(.received(connection, message.0))
        if streams[connection] == nil { return }
      }
      streams[connection] = Array(stream[used...])
    } catch {
      feed(.failed(connection, error.notification))
    }
  }

  private func next(_ stream: ArraySlice<UInt8>) throws(MessageError) -> (Message, Int)? {
    try stream.withUnsafeBytes { bytes in
      Result { () throws(MessageError) in
        try MessageHeader.frame(bytes).map { (header) throws(MessageError) in
          (try Message(header, in: bytes), header.length)
        }
      }
    }.get()
  }

  private mutating func feed(_ event: SessionEvent) {
    for action in session.handle(event, now: now) {
      switch action {
      case .connect: isConnecting = true
      case .cancelConnect: isConnecting = false
      case .send(let connection, let bytes): check(bytes, on: connection)
      case .close(let connection): streams[connection] = nil
      case .wake(let instant): precondition(instant >= now, "a wake in the past")
      default: break
      }
    }
  }

  private mutating func check(_ bytes: [UInt8], on connection: Connection) {
    precondition(!notified.contains(connection), "something was sent behind a NOTIFICATION")
    guard let sent = try? next(bytes[...]), sent.1 == bytes.count else {
      preconditionFailure("what leaves is no message")
    }
    if case .notification = sent.0 { notified.insert(connection) }
  }
}
