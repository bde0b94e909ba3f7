import ControlProtocol
import EventLoop
import FoundationEssentials
import Glibc
import SwiftProtobuf
import Testing

/// h1 ─1─ h2: one link that declares a delay, each way.
private func twoHosts(_ privilege: Privilege, delay: UInt32, jitter: UInt32 = 0) throws -> TestLab {
  let lab = try TestLab(privilege)
  lab.node("h1")
  lab.node("h2")
  lab.link(1, ("h1", "eth1", 2), ("h2", "eth1", 2))
  lab.delayAllLinks(delay, jitter)
  return lab
}

@Suite(.serialized) struct DelayedLinkTests {
  @Test(.enabled(if: LabCapture.canRun)) func packetsArriveNoEarlierThanTheDelayOnEachWay() throws {
    let lab = try twoHosts(.root, delay: 20_000)
    try lab.start()
    let captures = try ["h1", "h2"].map { try LabCapture(lab, $0, "icmp", count: 10) }
    _ = try lab.shell("h1", "ping -c 5 -i 0.01 -W 5 10.0.1.2")
    let (near, far) = (try captures[0].lines(), try captures[1].lines())
    for kind in ["echo request", "echo reply"] {
      let (sent, arrived) = kind == "echo request" ? (near, far) : (far, near)
      for number in 1...5 {
        let began = try #require(sent.first { $0.isEcho(kind, number) })
        let ended = try #require(arrived.first { $0.isEcho(kind, number) })
        #expect(ended.nanoseconds - began.nanoseconds >= 20_000_000, "\(kind) \(number)")
      }
    }
  }

  @Test(arguments: Privilege.possible)
  func aLabWhoseLinksAllDelayIsBuiltAsOneOfPlainLinks(_ privilege: Privilege) throws {
    let lab = try fiveNodes(privilege)
    lab.delayAllLinks(0)
    try lab.start()
    #expect(try lab.shell("r1", "ip -o link show eth2").hasPrefix("3: eth2@"))
    #expect(try lab.shell("r1", "cat /sys/class/net/eth2/address /sys/class/net/eth2/mtu") == "02:00:00:00:02:01\n1500")
    let neighbours = try lab.shell("h1", "ip neigh show nud permanent")
    #expect(neighbours.contains("10.0.1.2 dev eth1 lladdr 02:00:00:00:01:02 PERMANENT"))
    #expect(try lab.shell("h1", "ls /sys/class/net | tr '\\n' ' '") == "eth1 lo ")
    _ = try lab.shell("r1", "ip route add 10.0.3.0/24 via 10.0.2.2")
    _ = try lab.shell("r2", "ip route add 10.0.1.0/24 via 10.0.2.1")
    #expect(try lab.shell("h1", "ping -c 1 -W 5 10.0.3.2").contains("ttl=253"))
    #expect(try lab.shell("r2", "ping -c 1 -W 5 fd00:3::2").contains("ttl=255"))
    #expect(lab.state.processes.count { $0.node.isEmpty && $0.name == "relay" && $0.running } == 1)
    #expect(lab.state.nodes.count == 5)
  }

  @Test(.enabled(if: LabCapture.canRun)) func jitterNeverChangesTheOrder() throws {
    let lab = try twoHosts(.root, delay: 4000, jitter: 4000)
    try lab.start()
    let capture = try LabCapture(lab, "h2", "icmp[icmptype] = icmp-echo", count: 200)
    _ = try lab.shell("h1", "ping -q -c 200 -i 0.002 -W 5 10.0.1.2")
    let numbers = try capture.lines().compactMap(\.echoNumber)
    #expect(numbers == Array(1...200))
  }

  @Test(arguments: Privilege.possible)
  func anEndThatIsSetDownTakesTheCarrierOfTheOtherAsOnAPlainLink(_ privilege: Privilege) throws {
    let lab = try twoHosts(privilege, delay: 1000)
    try lab.start()
    #expect(try lab.admin("h1", "eth1", up: false).error.isEmpty)
    #expect(try lab.shell("h2", "ip -o link show eth1").contains("NO-CARRIER"))
    // Both down, and one comes back: it sees that the other has not.
    #expect(try lab.admin("h2", "eth1", up: false).error.isEmpty)
    #expect(try lab.admin("h1", "eth1", up: true).error.isEmpty)
    #expect(try lab.shell("h1", "ip -o link show eth1").contains("NO-CARRIER"))
    #expect(try lab.admin("h2", "eth1", up: true).error.isEmpty)
    for node in ["h1", "h2"] { #expect(try lab.shell(node, "ip -o link show eth1").contains(",LOWER_UP>")) }
    _ = try lab.shell("h2", "ping -c 1 -W 5 10.0.1.1")
  }

  @Test func anEndThatSomebodyElseSetsOrDeletesIsSeenToo() throws {
    let lab = try twoHosts(Privilege.possible[0], delay: 1000)
    try lab.start()
    _ = try lab.shell("h2", "ip link set eth1 down")
    try lab.wait("the carrier's loss") { try lab.shell("h1", "cat /sys/class/net/eth1/carrier") == "0" }
    _ = try lab.shell("h2", "ip link set eth1 up")
    try lab.wait("the carrier") { try lab.shell("h1", "cat /sys/class/net/eth1/carrier") == "1" }
    _ = try lab.shell("h1", "ping -c 1 -W 5 10.0.1.2")
    _ = try lab.shell("h2", "ip link delete eth1")
    try lab.wait("the carrier's loss") { try lab.shell("h1", "cat /sys/class/net/eth1/carrier") == "0" }
    #expect(try lab.process("", "relay").running)
  }

  @Test(arguments: Privilege.possible)
  func aStreamPassesUnchangedInThePacketsThatItsSenderMade(_ privilege: Privilege) throws {
    let lab = try twoHosts(privilege, delay: 2000)
    lab.plan.nodes[1].commands = ["exec python3 -c '\(Self.server)'"]
    try lab.start()
    try lab.wait("the server") { try lab.run("h2", "sh", "-c", "ss -Hltn | grep -q :7000").code == 0 }
    let capture =
      privilege == .root ? try LabCapture(lab, "h2", "tcp and dst port 7000 and greater 3000", count: 1) : nil
    let sum = try lab.shell("h1", "python3 -c '\(Self.client)'")
    // sha256sum of GNU coreutils over the same bytes.
    #expect(try lab.shell("", Self.expected).hasPrefix(sum))
    // Aggregated: longer than the MTU and Ethernet's header, which only a whole packet of the sender's can be.
    if let capture { #expect(try capture.lines().first?.contains("10.0.1.1") == true) }
  }

  private static let server = """
    import socket, hashlib
    listener = socket.create_server(("10.0.1.2", 7000))
    connection = listener.accept()[0]
    digest = hashlib.sha256()
    while data := connection.recv(1 << 20): digest.update(data)
    connection.sendall(digest.hexdigest().encode())
    """
  private static let client = """
    import socket
    connection = socket.create_connection(("10.0.1.2", 7000))
    connection.sendall(bytes(range(256)) * 32768)
    connection.shutdown(socket.SHUT_WR)
    print(connection.recv(64).decode())
    """
  private static let expected =
    "python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 32768)' | sha256sum"

  @Test func aPacketAsLargeAsTheMTUPassesAndALargerOneIsRefusedByItsSender() throws {
    let lab = try twoHosts(Privilege.possible[0], delay: 1000)
    lab.plan.links[0].mtu = 9000
    try lab.start()
    #expect(try lab.shell("h1", "ping -c 1 -W 5 -M do -s 8972 10.0.1.2").contains("8980 bytes from"))
    #expect(try lab.run("h1", "ping", "-c", "1", "-W", "5", "-M", "do", "-s", "8973", "10.0.1.2").code == 1)
  }

  @Test(arguments: Privilege.possible)
  func theFarEndsHaveNoAddressToSpeakFrom(_ privilege: Privilege) throws {
    let lab = try twoHosts(privilege, delay: 1000)
    try lab.start()
    let relay = try lab.process("", "relay").pid
    let enter = "nsenter --net=/proc/\(relay)/ns/net ip -o"
    #expect(try lab.shell("", "\(enter) link show up | wc -l") == "2")
    #expect(try lab.shell("", "\(enter) addr show") == "")
  }
}

extension TestLab {
  func delayAllLinks(_ delay: UInt32, _ jitter: UInt32 = 0) {
    for place in plan.links.indices {
      plan.links[place].delay = .with { ($0.delayUs, $0.jitterUs) = (delay, jitter) }
    }
  }
}

/// tcpdump on eth1 of a node, with times to the nanosecond.
final class LabCapture {
  private let lab: TestLab
  private let path: String
  private let exec: TestExec

  /// It wants to give up privileges, which needs more users than the one that an ordinary user's lab has.
  static let canRun = geteuid() == 0

  /// Returns once it captures.
  /// - Parameter count: it ends by itself after so many packets.
  init(_ lab: TestLab, _ node: String, _ filter: String, count: Int) throws {
    self.lab = lab
    let path = "\(lab.root)/tcpdump.\(node).\(EventLoop.clock())"
    self.path = path
    let command = "exec tcpdump -tt --nano -lneqi eth1 -Z root -c \(count)"
    exec = try TestExec(lab, node, ["sh", "-c", "\(command) '\(filter)' > \(path) 2> \(path).errors"])
    try lab.wait("tcpdump") { (try? SmallFile.text("\(path).errors"))?.contains("listening on") == true }
  }

  /// What it printed by its own end.
  func lines() throws -> [Substring] {
    _ = try exec.wait()
    return try SmallFile.text(path).split(separator: "\n")
  }
}

extension Substring {
  fileprivate var nanoseconds: Int {
    let parts = prefix { $0 != " " }.split(separator: ".")
    return (Int(parts[0]) ?? 0) * 1_000_000_000 + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
  }

  fileprivate func isEcho(_ kind: String, _ number: Int) -> Bool { contains("ICMP \(kind),") && echoNumber == number }

  /// The sequence number of an echo.
  fileprivate var echoNumber: Int? {
    guard let range = firstRange(of: "seq ") else { return nil }
    return Int(self[range.upperBound...].prefix { $0.isNumber })
  }
}
