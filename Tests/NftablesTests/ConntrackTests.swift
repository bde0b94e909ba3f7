import CLinux
import NetTypes
import Netlink
import Testing

@testable import Nftables

/// client 10.9.0.1, fd09::1 --- 10.9.0.2, fd09::2 server. The server's prerouting sends port 80 to port 8080.
private struct Line {
  let client: Namespace
  let server: Namespace
  let socket: NftablesSocket
  let conntrack: ConntrackSocket
  static let table = TableID(.inet, "nat")

  init() throws {
    client = try Namespace.create()
    server = try Namespace.create()
    let (near, far, end) = (client, server, try name("v0"))
    let requests = try NetlinkSocket(in: client)
    try requests.commit { $0.addVethPair(VethEnd(end, in: near, index: 7), VethEnd(end, in: far, index: 7)) }
    for (namespace, host) in [(client, "1"), (server, "2")] {
      let v4 = try #require(InterfaceAddress("10.9.0.\(host)/24"))
      let v6 = try #require(InterfaceAddress("fd09::\(host)/64"))
      try NetlinkSocket(in: namespace).commit { batch in
        batch.setLink(7, up: true)
        batch.addAddress(v4, to: 7)
        batch.addAddress(v6, to: 7)
      }
    }
    try Sysctl.write([Sysctl.Setting("net.netfilter.nf_conntrack_acct", "1")], in: server)
    socket = try NftablesSocket(in: server)
    conntrack = try ConntrackSocket(in: server)
    try apply([redirect])
  }

  let redirect = Rule([.transportProtocol(.tcp), .destinationPort(80)], [.redirect(toPorts: 8080...8080)])

  func apply(_ rules: [Rule]) throws {
    let desired = Ruleset([
      Table(Self.table, chains: [Chain("pre", BaseChain(.nat, .prerouting, .destinationNAT), rules: rules)])
    ])
    var transaction = Transaction(from: try socket.read([Self.table]), to: desired)
    try socket.commit(&transaction)
  }

  /// A connection to port 80: what the client and the server hold of it.
  func connect(_ address: String) throws -> Connection {
    let destination = try ip(address)
    let listener = try server.run { () throws(KernelError) in
      try Connection.listen(8080, destination.family)
    }
    defer { close(listener) }
    let near = try client.run { () throws(KernelError) in try Connection.connect(destination, 80) }
    return Connection(near: near, far: accept(listener, __SOCKADDR_ARG(__sockaddr__: nil), nil))
  }
}

/// Both ends of a TCP connection, closed when it goes.
private final class Connection {
  let near: Int32
  let far: Int32

  init(near: Int32, far: Int32) {
    self.near = near
    self.far = far
  }
  deinit {
    close(near)
    close(far)
  }

  static func listen(_ port: UInt16, _ family: AddressFamily) throws(KernelError) -> Int32 {
    let descriptor = socket(family == .ipv4 ? AF_INET : AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
    let any = [UInt8](repeating: 0, count: family.bits / 8)
    guard nl_tcp_reuse_address(descriptor) == 0, withAddress(any, port, { bind(descriptor, $0, $1) }) == 0,
      CLinux.listen(descriptor, 1) == 0
    else { throw KernelError(call: "listen") }
    return descriptor
  }

  static func connect(_ address: IPAddress, _ port: UInt16) throws(KernelError) -> Int32 {
    let descriptor = socket(address.family == .ipv4 ? AF_INET : AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
    guard withAddress(address.bytes, port, { CLinux.connect(descriptor, $0, $1) }) == 0 else {
      throw KernelError(call: "connect", subject: "\(address)")
    }
    return descriptor
  }

  private static func withAddress(
    _ bytes: [UInt8], _ port: UInt16, _ body: (__CONST_SOCKADDR_ARG, socklen_t) -> Int32
  ) -> Int32 {
    var storage = sockaddr_storage()
    let length = nl_address(&storage, bytes, Int32(bytes.count), port, 0)
    return withUnsafePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body(__CONST_SOCKADDR_ARG(__sockaddr__: $0), length) }
    }
  }

  /// Sends one byte from the client and gives what the server reads within a second; nil: nothing, or a reset.
  func deliver(_ byte: UInt8) -> UInt8? {
    var sent = byte
    var received: UInt8 = 0
    guard send(near, &sent, 1, Int32(MSG_NOSIGNAL)) == 1 else { return nil }
    var patience = timeval(tv_sec: 1, tv_usec: 0)
    setsockopt(far, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    return recv(far, &received, 1, 0) == 1 ? received : nil
  }

  var nearPort: UInt16 {
    var storage = sockaddr_storage()
    var bytes = [UInt8](repeating: 0, count: 16)
    var port: UInt16 = 0
    var scope: UInt32 = 0
    guard nl_tcp_local(near, &storage) == 0, nl_address_parts(&storage, &bytes, &port, &scope) > 0 else { return 0 }
    return port
  }
}

@Suite(.enabled(if: Kernel.isAllowed)) struct ConntrackTests {
  @Test(arguments: [("10.9.0.1", "10.9.0.2"), ("fd09::1", "fd09::2")])
  func `a translated connection is read with both tuples, state and counts, until it is deleted`(
    client: String, server: String
  ) throws {
    let line = try Line()
    let connection = try line.connect(server)
    #expect(connection.deliver(7) == 7)
    let family: AddressFamily = client.contains(":") ? .ipv6 : .ipv4
    let (source, destination, port) = (try ip(client), try ip(server), connection.nearPort)
    let entry = try #require(try line.conntrack.entries(family).first { $0.original.transport == .tcp })
    #expect(
      entry.original == ConntrackTuple(source, destination, .tcp, .ports(source: port, destination: 80)))
    #expect(entry.reply == ConntrackTuple(destination, source, .tcp, .ports(source: 8080, destination: port)))
    #expect(entry.tcpState == .established)
    #expect(entry.status.isSuperset(of: [.assured, .confirmed, .seenReply, .destinationTranslated]))
    #expect(!entry.status.contains(.sourceTranslated))
    #expect((1...432_000).contains(entry.timeout ?? 0))
    // SYN, ACK and one byte of data at least; 20 bytes of TCP and the IP header each.
    #expect((entry.originalCount?.packets ?? 0) >= 3 && (entry.originalCount?.bytes ?? 0) > 3 * 40)
    #expect((entry.replyCount?.packets ?? 0) >= 2)
    let other: AddressFamily = family == .ipv4 ? .ipv6 : .ipv4
    #expect(try line.conntrack.entries(other).allSatisfy { $0.original.family == other })
    #expect(try line.conntrack.entry(of: entry.original)?.id == entry.id)
    #expect(try line.conntrack.entry(of: entry.reply)?.id == entry.id)

    try line.conntrack.delete(entry)
    #expect(try line.conntrack.entry(of: entry.original) == nil)
    do throws(KernelError) {
      try line.conntrack.delete(entry)
      Issue.record("deleted twice")
    } catch {
      #expect(error.isNotThere)
    }
  }

  @Test func `a change of rules and its inverse leave translated connections alone`() throws {
    let line = try Line()
    let connection = try line.connect("10.9.0.2")
    #expect(connection.deliver(1) == 1)
    let entry = try #require(try line.conntrack.entries(.ipv4).first { $0.original.transport == .tcp })
    let other = Rule([.transportProtocol(.tcp), .destinationPort(81)], [.redirect(toPorts: 8081...8081)])
    for rules in [[other, line.redirect], [other], [], [line.redirect, other], [line.redirect]] {
      try line.apply(rules)
      #expect(connection.deliver(2) == 2)
    }
    #expect(try line.conntrack.entry(of: entry.original)?.id == entry.id)
    let second = try line.connect("fd09::2")
    #expect(second.deliver(3) == 3)
    try line.conntrack.flush(.ipv6)
    #expect(try line.conntrack.entries(.ipv6) == [])
    #expect(try line.conntrack.entry(of: entry.original)?.id == entry.id, "of the other family")
    try line.conntrack.flush()
    #expect(try line.conntrack.entries() == [])
  }

  @Test func `beginning, change and end of a connection are told`() throws {
    let line = try Line()
    let monitor = try ConntrackMonitor(in: line.server)
    let newOnly = try ConntrackMonitor(.new, in: line.server)
    let connection = try line.connect("10.9.0.2")
    #expect(connection.deliver(3) == 3)
    try line.conntrack.flush(.ipv4)
    let events = try monitor.read().events.filter { $0.entry.original.transport == .tcp }
    guard case .new(let first)? = events.first, case .ended(let last)? = events.last else {
      Issue.record("\(events)")
      return
    }
    #expect(first.original.detail == .ports(source: connection.nearPort, destination: 80))
    #expect(first.id == last.id && first.tcpState == .synSent)
    #expect((last.originalCount?.packets ?? 0) >= 3)
    #expect(events.contains { if case .changed(let entry) = $0 { entry.tcpState == .established } else { false } })
    #expect(try newOnly.read().events.allSatisfy { if case .new = $0 { true } else { false } })
  }

  @Test func `pings, marks and zones are read`() throws {
    let line = try Line()
    try line.apply([])
    let zone = Table(
      .inet, "zone",
      chains: [
        Chain(
          "raw", BaseChain(.filter, .prerouting, .raw), rules: [Rule([.interfaceIn(try name("v0"))], [.setZone(9)])]),
        Chain("mark", BaseChain(.filter, .input, .filter), rules: [Rule([], [.setConnectionMark(77)])]),
      ])
    var transaction = Transaction()
    transaction.add(zone)
    try line.socket.commit(&transaction)
    _ = try Kernel.output(of: "ping -c 1 -q 10.9.0.2; ping -c 1 -q fd09::2", in: line.client)
    for (family, transport, type, reply) in [
      (AddressFamily.ipv4, TransportProtocol.icmp, UInt8(8), UInt8(0)), (.ipv6, .icmpv6, 128, 129),
    ] {
      let entry = try #require(try line.conntrack.entries(family).first { $0.original.transport == transport })
      guard case .icmp(let id, type, 0) = entry.original.detail else {
        Issue.record("\(entry)")
        continue
      }
      #expect(entry.reply.detail == .icmp(id: id, type: reply, code: 0))
      #expect(entry.mark == 77 && entry.zone == 9)
      #expect(try line.conntrack.entry(of: entry.original) == nil, "that is zone 0")
      #expect(try line.conntrack.entry(of: entry.original, zone: 9)?.id == entry.id)
      try line.conntrack.delete(entry)
      #expect(try line.conntrack.entry(of: entry.original, zone: 9) == nil)
    }
  }
}
