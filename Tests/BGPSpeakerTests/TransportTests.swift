import BGPCore
import BGPWire
import EventLoop
import NetTypes
import Testing

@testable import BGPSpeaker

@Suite(.serialized) struct TransportTests {
  @Test(arguments: [AddressFamily.ipv4, .ipv6])
  func aSharedKeySignsTheSession(family: AddressFamily) throws {
    let harness = try SpeakerHarness()
    let (a, b) = try harness.pair(family, networks: ["192.0.2.0/24"]) { $0.transport.md5Key = "s3cret" }
    #expect(try harness.settle(a, b))
    #expect(b.routes == ["192.0.2.0/24"])
  }

  @Test func differentKeysMakeNoSession() throws {
    let harness = try SpeakerHarness()
    let a = try harness.speaker(1)
    let b = try harness.speaker(2)
    try a.apply(harness.configuration(1, neighbors: [harness.neighbor(2, of: 1) { $0.transport.md5Key = "one" }]))
    try b.apply(harness.configuration(2, neighbors: [harness.neighbor(1, of: 2) { $0.transport.md5Key = "two" }]))
    #expect(try !harness.run(seconds: 0.7) { a.states == [.established] || b.states == [.established] })
    // The same key on both: the next attempt succeeds.
    try b.apply(harness.configuration(2, neighbors: [harness.neighbor(1, of: 2) { $0.transport.md5Key = "one" }]))
    #expect(try harness.settle(a, b))
  }

  @Test func aKeyTakenAwayIsTakenAway() throws {
    let harness = try SpeakerHarness()
    let (a, b) = try harness.pair { $0.transport.md5Key = "s3cret" }
    #expect(try harness.settle(a, b))
    try a.apply(harness.configuration(1, neighbors: [harness.neighbor(2, of: 1)]))
    try b.apply(harness.configuration(2, neighbors: [harness.neighbor(1, of: 2)]))
    #expect(try harness.settle(a, b))
  }

  @Test(arguments: [AddressFamily.ipv4, .ipv6])
  func ttlSecurityOnBothEndsWorks(family: AddressFamily) throws {
    let harness = try SpeakerHarness()
    let (a, b) = try harness.pair(family) { $0.transport.ttlSecurity = true }
    #expect(try harness.settle(a, b))
  }

  @Test func ttlSecurityOnOneEndMakesNoSession() throws {
    let harness = try SpeakerHarness()
    let a = try harness.speaker(1)
    let b = try harness.speaker(2)
    try a.apply(harness.configuration(1, neighbors: [harness.neighbor(2, of: 1) { $0.transport.ttlSecurity = true }]))
    try b.apply(harness.configuration(2, neighbors: [harness.neighbor(1, of: 2)]))
    #expect(try !harness.run(seconds: 0.7) { a.states == [.established] || b.states == [.established] })
  }

  @Test(arguments: [1, 2])
  func onePassiveEndIsEnough(passive: Int) throws {
    let harness = try SpeakerHarness()
    let a = try harness.speaker(1)
    let b = try harness.speaker(2)
    try a.apply(
      harness.configuration(1, neighbors: [harness.neighbor(2, of: 1) { $0.transport.isPassive = passive == 1 }]))
    try b.apply(
      harness.configuration(2, neighbors: [harness.neighbor(1, of: 2) { $0.transport.isPassive = passive == 2 }]))
    #expect(try harness.settle(a, b))
  }

  @Test func aStrangerIsRefused() throws {
    let harness = try SpeakerHarness()
    let a = try harness.speaker(1)
    try a.apply(harness.configuration(1))
    let stranger = try RawPeer(from: 9, to: 1, port: harness.ports[1] ?? 0)
    var received: [UInt8]?
    #expect(
      try harness.run {
        received = stranger.receive()
        return received != nil
      })
    #expect(received == [])
  }

  /// The NOTIFICATION must arrive although the speaker leaves input unread.
  @Test func aPeerThatSendsRubbishIsToldWhy() throws {
    let harness = try SpeakerHarness()
    let a = try harness.speaker(1)
    try a.apply(harness.configuration(1, neighbors: [harness.neighbor(2, of: 1) { $0.transport.isPassive = true }]))
    let peer = try RawPeer(from: 2, to: 1, port: harness.ports[1] ?? 0)
    #expect(try harness.run { a.states == [.openSent] })
    #expect(peer.send([UInt8](repeating: 0xA5, count: 60_000)))
    var stream: [UInt8] = []
    #expect(
      try harness.run {
        guard let bytes = peer.receive() else { return false }
        stream += bytes
        return bytes.isEmpty
      })
    let received = messages(stream)
    #expect(received.map(\.type) == [.open, .notification])
    #expect(received.last == .notification(Notification(.connectionNotSynchronized)))
    // And is taken again at once.
    let again = try RawPeer(from: 2, to: 1, port: harness.ports[1] ?? 0)
    #expect(try harness.run(seconds: 1) { a.states == [.openSent] })
    #expect(again.receive()?.isEmpty == false)
  }

  @Test func aMessageMayComeOctetByOctet() throws {
    let harness = try SpeakerHarness()
    let a = try harness.speaker(1)
    try a.apply(harness.configuration(1, neighbors: [harness.neighbor(2, of: 1) { $0.transport.isPassive = true }]))
    let peer = try RawPeer(from: 2, to: 1, port: harness.ports[1] ?? 0)
    #expect(try harness.run { a.states == [.openSent] })
    let open = Open(
      asn: ASNumber(64502), holdTime: 90, identifier: 2,
      capabilities: [.multiprotocol(.ipv4, .unicast), .fourOctetAS(64502)])
    for octet in open.encode() + Keepalive.encoded {
      #expect(peer.send([octet]))
      try harness.loop.step(timeout: 1_000_000)
    }
    #expect(try harness.run { a.states == [.established] })
  }

  @Test func aPortThatIsTakenIsSaid() throws {
    let harness = try SpeakerHarness()
    let first = try harness.speaker(1)
    let second = Speaker(loop: harness.loop)
    var configuration = harness.configuration(2)
    configuration.opensListener = true
    configuration.listenPort = harness.ports[1] ?? 0
    configuration.listenAddresses = [SpeakerHarness.address(1, .ipv4)]
    do {
      try second.apply(configuration)
      Issue.record("two listeners on one port")
    } catch {
      #expect(error.offender == "listener")
      #expect(error.reason.contains("Address already in use"))
    }
    #expect(first.sample().isIdle)
  }
}
