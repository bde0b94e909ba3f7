import BGPCore
import BGPWire
import EventLoop
import NetTypes
import Testing

@testable import BGPSpeaker

@Suite(.serialized) struct RestartTests {
  @Test func theLossOfTheLinkEndsTheSessionAndItsRoutesAtOnce() throws {
    let harness = try SpeakerHarness()
    let (a, b) = try harness.pair(networks: ["192.0.2.0/24"])
    #expect(try harness.settle(a, b))
    b.linkDown("link1-2")
    #expect(b.states == [.idle])
    try harness.loop.step(timeout: 0)
    #expect(b.routes.isEmpty)
    #expect(b.sample().sessions[0].lastError == "link down")
    a.linkDown("link1-2")
    b.linkUp("link1-2")
    a.linkUp("link1-2")
    #expect(try harness.settle(a, b))
    #expect(b.routes == ["192.0.2.0/24"])
  }

  @Test func aLinkThatIsDownBeforeTheConfigurationComesCounts() throws {
    let harness = try SpeakerHarness()
    let a = try harness.speaker(1)
    a.linkDown("link1-2")
    _ = try harness.speaker(2)
    try a.apply(harness.configuration(1, neighbors: [harness.neighbor(2, of: 1)]))
    #expect(a.states == [.idle])
  }

  /// The process of speaker 1 ends without a word, and a new one with routes in its kernel takes its place.
  @Test func aKilledSpeakerCostsItsNeighborNoRoute() throws {
    let harness = try SpeakerHarness()
    let b = try harness.speaker(2)
    try b.apply(harness.configuration(2, networks: ["198.51.100.0/24"], neighbors: [harness.neighbor(1, of: 2)]))
    try liveAndDie(harness, b)
    #expect(try harness.run { b.states != [.established] })
    #expect(b.routes == ["192.0.2.0/24", "198.51.100.0/24"])  // stale, but in use
    #expect(b.sample().busyBecause == "stale")

    let second = try harness.speaker(1, preserved: .all)
    var completions = 0
    second.onRestartComplete = { completions += 1 }
    try second.apply(harness.configuration(1, networks: ["192.0.2.0/24"], neighbors: [harness.neighbor(2, of: 1)]))
    #expect(second.sample().busyBecause == "deferral")
    #expect(second.routes.isEmpty)
    #expect(try harness.settle(second, b))
    #expect(completions == 1)
    #expect(second.routes == ["192.0.2.0/24", "198.51.100.0/24"])
    #expect(b.routes == second.routes)
  }

  private func liveAndDie(_ harness: SpeakerHarness, _ b: Speaker) throws {
    let a = try harness.speaker(1)
    try a.apply(harness.configuration(1, networks: ["192.0.2.0/24"], neighbors: [harness.neighbor(2, of: 1)]))
    try b.apply(harness.configuration(2, networks: ["198.51.100.0/24"], neighbors: [harness.neighbor(1, of: 2)]))
    #expect(try harness.settle(a, b))
  }

  @Test func aFirstStartHasNothingToWaitFor() throws {
    let harness = try SpeakerHarness()
    let a = try harness.speaker(1)
    var completions = 0
    a.onRestartComplete = { completions += 1 }
    try a.apply(harness.configuration(1, networks: ["192.0.2.0/24"]))
    #expect(try harness.run { completions == 1 && a.sample().isIdle })
  }

  @Test func aNeighborThatStaysAwayDoesNotHoldSelectionUpForLong() throws {
    let harness = try SpeakerHarness()
    let a = try harness.speaker(1, preserved: .ipv4Unicast)
    try a.apply(harness.configuration(1, networks: ["192.0.2.0/24"], neighbors: [harness.neighbor(2, of: 1)]))
    #expect(try harness.run(seconds: 5) { a.routes == ["192.0.2.0/24"] })
  }

  /// Everything that went into both machines of a live session, fed to new machines, gives the same messages.
  @Test func aRecordedSessionReplaysByteForByte() throws {
    final class Recorder: SessionRecorder {
      var entries: [(SessionParameters, SessionEvent, Instant, [SessionAction])] = []
      var bytes: [UInt8] = []
      func record(
        session: String, parameters: SessionParameters, event: SessionEvent, at now: Instant, actions: [SessionAction]
      ) { entries.append((parameters, event, now, actions)) }
      func record(session: String, connection: Connection, bytes: UnsafeRawBufferPointer, at now: Instant) {
        self.bytes += Array(bytes)
      }
    }
    let harness = try SpeakerHarness()
    let a = try harness.speaker(1)
    let b = try harness.speaker(2)
    let recorder = Recorder()
    b.recorder = recorder
    try a.apply(harness.configuration(1, networks: ["192.0.2.0/24"], neighbors: [harness.neighbor(2, of: 1)]))
    try b.apply(harness.configuration(2, neighbors: [harness.neighbor(1, of: 2) { $0.transport.isPassive = true }]))
    #expect(try harness.settle(a, b))
    #expect(a.reset(neighbor: "s2"))
    #expect(try harness.run { b.sample().sessions[0].flaps == 1 })
    #expect(try harness.settle(a, b))

    let first = try #require(recorder.entries.first)
    var replay = Session(first.0)
    for (_, event, now, actions) in recorder.entries { #expect(replay.handle(event, now: now) == actions) }
    #expect(replay.state == .established)
    #expect(replay.flaps == 1)
    // The bytes that came hold what the machine was told: OPEN, KEEPALIVE, UPDATEs, Cease, and the same again.
    let types = messages(recorder.bytes).map(\.type)
    #expect(types.filter { $0 == .open }.count == 2)
    #expect(types.filter { $0 == .notification }.count == 1)
  }
}
