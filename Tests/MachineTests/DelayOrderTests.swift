import ControlProtocol
import EventLoop
import FoundationEssentials
import Glibc
import SwiftProtobuf
import Testing

/// h1 ─1─ h2 ─2─ h3: the first link declares a delay, the second none.
private func threeHosts(_ privilege: Privilege) throws -> TestLab {
  let lab = try TestLab(privilege)
  for name in ["h1", "h2", "h3"] { lab.node(name) }
  lab.link(1, ("h1", "eth1", 2), ("h2", "eth1", 2))
  lab.link(2, ("h2", "eth2", 3), ("h3", "eth1", 2))
  lab.plan.links[0].delay = NLLinkDelay()
  return lab
}

@Suite(.serialized) struct DelayOrderTests {
  @Test(arguments: Privilege.possible)
  func aDelayIsSetWhileTheLabRunsOneWayOrBoth(_ privilege: Privilege) throws {
    let lab = try threeHosts(privilege)
    try lab.start()
    for (aToB, bToA, least) in [(30_000, 30_000, 60.0), (nil, 0, 30.0), (0, nil, 0.0)] as [(UInt32?, UInt32?, Double)] {
      #expect(try lab.setDelay(0, aToB, bToA).error.isEmpty)
      #expect(try lab.roundTrip() >= least)
    }
    #expect(try lab.setDelay(0, 300_000, 300_000).error.isEmpty)
    #expect(try lab.setDelay(0, 0, 0).error.isEmpty)
    #expect(try lab.roundTrip() < 300)
  }

  @Test func aLinkThatDeclaresNoDelayAndOneThatIsNoneAreRefusedByName() throws {
    let lab = try threeHosts(Privilege.possible[0])
    try lab.start()
    #expect(
      try lab.setDelay(1, 1000, 1000).error
        == "link h2:eth2 - h3:eth1 declares no delay: write `delay: 0ms` at it")
    #expect(try lab.setDelay(2, 1000, 1000).error == "there is no link 2")
    #expect(try lab.setDelay(.max, 1000, 1000).error == "there is no link 4294967295")
    let plain = try fiveNodes(Privilege.possible[0])
    try plain.start()
    #expect(try plain.setDelay(0, 1, 1).error.hasPrefix("link h1:eth1 - r1:eth1 declares no delay"))
    #expect(!plain.state.processes.contains { $0.name == "relay" })
  }

  @Test(arguments: Privilege.possible)
  func aRelayThatIsKilledTakesTheCarrierAndIsStartedAgainWithTheDelaysThenInForce(_ privilege: Privilege) throws {
    let lab = try threeHosts(privilege)
    try lab.start()
    #expect(try lab.setDelay(0, 25_000, 25_000).error.isEmpty)
    let changes = try ["h1", "h2"].map { try lab.carrierChanges($0) }
    let first = try lab.process("", "relay")
    #expect(
      try lab.order {
        $0.kill = .with {
          $0.process = "relay"
          $0.signal = SIGKILL
        }
      }.error.isEmpty)
    try lab.wait("the restart") {
      let now = try lab.process("", "relay")
      return now.running && now.pid != first.pid
    }
    for (node, before) in zip(["h1", "h2"], changes) {
      try lab.wait("the carrier") { try lab.shell(node, "cat /sys/class/net/eth1/carrier") == "1" }
      #expect(try lab.carrierChanges(node) == before + 2)
    }
    #expect(try lab.roundTrip() >= 50)
    #expect(try lab.process("", "relay").restarts == 1)
  }

  @Test func aRelayTellsOnRequestWhatItCarried() throws {
    let lab = try threeHosts(Privilege.possible[0])
    try lab.start()
    _ = try lab.shell("h1", "ping -q -c 7 -i 0.002 -W 5 10.0.1.2")
    #expect(
      try lab.order {
        $0.kill = .with {
          $0.process = "relay"
          $0.signal = SIGUSR1
        }
      }.error.isEmpty)
    try lab.wait("the statistics") { lab.log("relay").contains("h2:eth1 > h1:eth1: ") }
    let lines = lab.log("relay").split(separator: "\n")
    #expect(lines.count == 2)
    let forward = try #require(lines.first { $0.hasPrefix("h1:eth1 > h2:eth1: delay 0 us, jitter 0 us; ") })
    let words = forward.split(separator: " ")
    let packets = try #require(words.firstIndex(of: "packets,").flatMap { Int(words[$0 - 1]) })
    #expect(packets >= 7)
    #expect(forward.contains("0 queue full") && forward.contains("0 unread"))
    #expect(try lab.process("", "relay").restarts == 0)
  }

  @Test func whatALinkCarriedIsWhatTheKernelCountsAtTheFarEndAndNoLaterThanPingSays() throws {
    let lab = try threeHosts(Privilege.possible[0])
    try lab.start()
    #expect(try lab.setDelay(0, 10_000, 5_000).error.isEmpty)
    // Until the far end is up nobody takes what the kernels say of themselves.
    let start = try #require(try lab.order { $0.countLinks.links = [0] }.links.first)
    let said = try lab.shell("h1", "ping -c 40 -i 0.01 -W 5 10.0.1.2")
    // The link without a relay, and one that is not there, are left out.
    let before = try lab.received("h2")
    let links = try lab.order { $0.countLinks.links = [1, 0, 7] }.links
    let after = try lab.received("h2")
    #expect(links.map(\.link) == [0])
    let link = try #require(links.first)
    // Nodes may say something of their own meanwhile.
    #expect(before <= link.aToB.packets && link.aToB.packets <= after)
    #expect(link.aToB.packets - start.aToB.packets >= 40 && link.bToA.packets - start.bToA.packets >= 40)
    #expect(link.aToB.dropped == start.aToB.dropped && link.bToA.dropped == start.bToA.dropped)
    // rtt min/avg/max/mdev = 15.1/15.2/15.9/0.1 ms: what is beyond 15 ms is more than a packet was late.
    let times = try #require(said.firstMatch(of: /= ([0-9.]+)\/([0-9.]+)\/([0-9.]+)\//))
    let (least, most) = (try #require(Double(times.1)), try #require(Double(times.3)))
    #expect(least >= 15)
    for counters in [link.aToB, link.bToA] {
      #expect(Double(counters.lateMedianNs) / 1_000_000 <= most - 15)
      #expect(counters.lateMaxNs > 0 && counters.lateMedianNs <= counters.lateMaxNs)
    }
    let plain = try fiveNodes(Privilege.possible[0])
    try plain.start()
    #expect(try plain.order { $0.countLinks.links = [0] } == NLMachineReply())
  }

  @Test(arguments: Privilege.possible)
  func moreLinksThanOneRelayServesHaveSeveralAndTheLabsEndTakesAll(_ privilege: Privilege) throws {
    let lab = try TestLab(privilege)
    for name in ["h1", "h2"] { lab.node(name) }
    for number in 1...9 as ClosedRange<UInt8> {
      lab.link(
        number, ("h1", "eth\(number)", UInt32(number) + 1), ("h2", "eth\(number)", UInt32(number) + 1))
    }
    lab.delayAllLinks(0)
    try lab.start()
    for number in 1...9 { _ = try lab.shell("h1", "ping -q -c 1 -W 5 10.0.\(number).2") }
    try lab.wait("both relays") { lab.state.processes.count { $0.name.hasPrefix("relay") && $0.running } == 2 }
    let relays = lab.state.processes.filter { $0.name.hasPrefix("relay") }.map(\.outerPid)
    var status = stat()
    #expect(stat("/proc/\(relays[0])/ns/net", &status) == 0)
    let namespace = "net:[\(status.st_ino)]"
    #expect(!holders(of: namespace).isEmpty)
    kill(try #require(lab.initPid), SIGKILL)
    try lab.wait("the end") { lab.isUnlocked && relays.allSatisfy { !isAlive($0) } }
    #expect(holders(of: namespace).isEmpty)
  }
}

extension TestLab {
  func setDelay(_ link: UInt32, _ aToB: UInt32?, _ bToA: UInt32?) throws -> NLMachineReply {
    try order {
      $0.setLinkDelay = .with { order in
        order.link = link
        if let aToB { order.aToB = .with { $0.delayUs = aToB } }
        if let bToA { order.bToA = .with { $0.delayUs = bToA } }
      }
    }
  }

  /// Milliseconds from h1 to h2 and back, as ping says.
  fileprivate func roundTrip() throws -> Double {
    let said = try shell("h1", "ping -c 1 -W 5 10.0.1.2")
    let time = try #require(said.firstRange(of: "time="))
    return try #require(Double(said[time.upperBound...].prefix { $0 != " " }))
  }

  /// Frames that eth1 received, as the kernel counts.
  fileprivate func received(_ node: String) throws -> UInt64 {
    try #require(UInt64(try shell(node, "cat /sys/class/net/eth1/statistics/rx_packets")))
  }

  fileprivate func carrierChanges(_ node: String) throws -> Int {
    try #require(Int(try shell(node, "cat /sys/class/net/eth1/carrier_changes")))
  }
}
