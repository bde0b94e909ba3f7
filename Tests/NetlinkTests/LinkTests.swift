import NetTypes
import Testing

@testable import Netlink

@Suite(.enabled(if: Kernel.isAllowed)) struct LinkTests {
  @Test func `both ends of a veth pair are placed by one request as ip shows them`() throws {
    let pair = try Pair()
    for (namespace, mac) in [(pair.a, "02:00:00:00:07:01"), (pair.b, "02:00:00:00:07:02")] {
      let shown = try Kernel.output(of: "ip -o link show v0", in: namespace)
      #expect(shown.hasPrefix("7: v0@if7: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400"))
      #expect(shown.contains("link/ether \(mac)"))
    }
    let link = try #require(try pair.socketA.link(named: try name("v0").text))
    #expect(link.kind == "veth" && link.index == 7 && link.peer == 7 && link.canCarry && link.mtu == 1400)
    #expect(link.mac?.description == "02:00:00:00:07:01")
    #expect(try pair.socketA.links().map(\.name) == ["lo", "v0"])
    #expect(try pair.socketA.link(named: "none") == nil)
  }

  @Test func `traffic passes at once and the counters show it`() throws {
    let pair = try Pair()
    let before = try #require(try pair.socketB.link(7)).statistics
    #expect(try Kernel.output(of: "ping -c 1 -W 1 10.7.0.2; ping -c 1 -W 1 fd07::2", in: pair.a).contains("ttl=64"))
    let after = try #require(try pair.socketB.link(7)).statistics
    #expect(after.receivedPackets >= before.receivedPackets + 2)
    #expect(after.sentBytes > before.sentBytes)
  }

  @Test func `a bridge takes a port and forwards`() throws {
    let pair = try Pair()
    let bridge = try name("br0")
    try pair.socketB.commit { batch in
      batch.addBridge(bridge, index: 20)
      batch.setLink(20, up: true)
      batch.setLink(7, .init(master: 20, linkLocalAddress: false))
    }
    let shown = try Kernel.output(of: "ip -d -o link show", in: pair.b)
    #expect(shown.contains("20: br0") && shown.contains("master br0"))
    #expect(shown.contains("stp_state 0") && shown.contains("mcast_snooping 0"))
    #expect(shown.contains("bridge_slave state forwarding"))
    #expect(try pair.socketB.link(7)?.master == 20)
  }

  @Test func `a link goes down, loses its carrier at the far end, and is deleted`() throws {
    let pair = try Pair()
    try pair.socketA.commit { $0.setLink(7, up: false) }
    #expect(try pair.socketA.link(7)?.isUp == false)
    let far = try #require(try pair.socketB.link(7))
    #expect(far.isUp && !far.hasCarrier)
    try pair.socketA.commit { $0.deleteLink(7) }
    #expect(try pair.socketB.link(7) == nil)
    #expect(try !Kernel.output(of: "ip -o link", in: pair.b).contains("v0"))
  }

  @Test func `the kernel's sentence and the place of the refused request come back`() throws {
    let pair = try Pair()
    var batch = MessageBatch()
    batch.setLink(7, .init(mtu: 1300))
    batch.setLink(7, .init(mtu: 9_000_000))
    batch.setLink(99, up: true)
    batch.setLink(7, .init(mtu: 1200))
    let refusals = try pair.socketA.commitReportingEach(&batch)
    #expect(refusals.map(\.message) == [1, 2])
    #expect(refusals.first?.kernelText == "mtu greater than device maximum")
    #expect(refusals.last?.isNotThere == true)
    #expect(try pair.socketA.link(7)?.mtu == 1200)
  }

  @Test func `a hundred veth pairs are made in one batch`() throws {
    let namespaces = try Namespace.create(count: 101)
    #expect(Set(namespaces.map(\.inode)).count == 101)
    let socket = try NetlinkSocket(in: namespaces[0])
    let (left, right) = (try name("left"), try name("right"))
    let clock = ContinuousClock()
    let spent = try clock.measure {
      try socket.commit { batch in
        for index in 0..<100 {
          batch.addVethPair(
            VethEnd(right, in: namespaces[index], index: 11), VethEnd(left, in: namespaces[index + 1], index: 10))
        }
      }
    }
    print("100 veth pairs: \(spent)")
    let sockets = try NetlinkSocket.open(inEach: namespaces)
    for (index, socket) in sockets.enumerated() {
      let names = try socket.links().map(\.name).sorted()
      #expect(names == (index == 0 ? ["lo", "right"] : index == 100 ? ["left", "lo"] : ["left", "lo", "right"]))
    }
  }
}
