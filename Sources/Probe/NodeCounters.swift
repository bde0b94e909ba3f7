// What a node's kernel counts of the packets it drops: rules of nftables that drop or reject, queueing disciplines, and
// the IP statistics of /proc. Read before a flow and, on the nodes where packets ended, after it; what moved is evidence.
//
// A rule without a counter says nothing, and neither does a chain's policy: such drops stay unknown.
import CLinux
import EventLoop
import Glibc
import NetTypes
import Netlink
import Nftables
import PathProof
import Synchronization

struct NodeCounters: Sendable {
  /// A counter, for as long as it stands: a rule's handle and a qdisc's are not used twice.
  enum Key: Hashable, Sendable {
    case rule(TableID, RuleHandle)
    case qdisc(UInt32, TrafficHandle, TrafficHandle)
    case statistic(String)
  }

  struct Entry: Sendable {
    var reason: DropReason
    var text: String
    var packets: UInt64
    /// It counts only what came in there, or leaves there; nil: it does not say.
    var incoming: String?
    var outgoing: String?
  }

  private(set) var entries: [Key: Entry] = [:]

  /// Of the calling thread's network namespace. What cannot be read is left out.
  static func read() -> NodeCounters {
    var counters = NodeCounters()
    counters.readRules()
    counters.readQdiscs()
    counters.readStatistics()
    return counters
  }

  /// What moved since, of what can be about packets that ended as `drop` says.
  /// - Parameter egress: where they would have left; empty: not known.
  func changes(until later: NodeCounters, about drop: Drop, egress: Set<String>) -> [KernelEvidence] {
    later.entries.compactMap { key, entry in
      guard entry.canConcern(drop, egress) else { return nil }
      let before = entries[key]?.packets ?? 0
      guard entry.packets > before else { return nil }
      let moved = entry.packets - before
      return KernelEvidence(entry.reason, moved, "\(entry.text) counted \(moved)")
    }.sorted { ($1.packets, $0.text) < ($0.packets, $1.text) }
  }

  // MARK: Rules

  private mutating func readRules() {
    guard let socket = try? NftablesSocket(sendLimit: 64 << 10), let tables = try? socket.tables(), !tables.isEmpty,
      let standing = try? socket.read(tables)
    else { return }
    for table in standing.tables {
      for chain in table.chains {
        for rule in chain.rules { add(rule, in: chain.name, of: table.id) }
      }
    }
  }

  private mutating func add(_ standing: StandingRule, in chain: String, of table: TableID) {
    guard let reason = Self.reason(standing.rule), let counter = standing.rule.counter else { return }
    let words =
      standing.rule.comment.isEmpty
      ? "rule \(standing.handle.rawValue) of \(table) \(chain)" : "rule `\(standing.rule.comment)`"
    entries[.rule(table, standing.handle)] = Entry(
      reason: reason, text: words, packets: counter.packets,
      incoming: Self.interface(.inputInterfaceName, of: standing.rule),
      outgoing: Self.interface(.outputInterfaceName, of: standing.rule))
  }

  /// The one interface that a rule asks for, by its whole name.
  private static func interface(_ key: MetaKey, of rule: Nftables.Rule) -> String? {
    for (load, next) in zip(rule.expressions, rule.expressions.dropFirst()) {
      guard case .meta(let meta) = load, meta.key == key, case .compare(let compare) = next,
        compare.operation == .equal, let end = compare.value.firstIndex(of: 0)
      else { continue }
      return String(decoding: compare.value[..<end], as: UTF8.self)
    }
    return nil
  }

  /// nil: it drops nothing.
  static func reason(_ rule: Nftables.Rule) -> DropReason? {
    var reason = DropReason.filter
    for expression in rule.expressions {
      switch expression {
      case .limit(let limit) where limit.isOver: reason = .policer
      case .numberGenerator: reason = .loss
      case .verdict(.drop), .reject: return reason
      default: break
      }
    }
    return nil
  }

  // MARK: Queues

  private mutating func readQdiscs() {
    guard let socket = try? NetlinkSocket(), let qdiscs = try? socket.qdiscs() else { return }
    for qdisc in qdiscs where qdisc.subject.discipline != .noqueue {
      let link = qdisc.subject.link.rawValue
      var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
      guard if_indextoname(link, &name) != nil else { continue }
      let interface = name.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      entries[.qdisc(link, qdisc.subject.handle, qdisc.subject.parent)] = Entry(
        reason: .shaper, text: "qdisc \(qdisc.subject.discipline.kind) \(qdisc.subject.handle) of \(interface)",
        packets: UInt64(qdisc.statistics.drops), outgoing: interface)
    }
  }

  // MARK: Statistics

  /// Names of RFC 4293 and of the kernel's Documentation/networking/snmp_counter.rst.
  private static let meanings: [String: DropReason] = [
    "IpExt InNoRoutes": .noRoute, "Ip OutNoRoutes": .noRoute, "Ip6InNoRoutes": .noRoute, "Ip6OutNoRoutes": .noRoute,
    "Ip InHdrErrors": .ttl, "Ip6InHdrErrors": .ttl,
    "Ip FragFails": .mtu, "Ip6InTooBigErrors": .mtu, "Ip6FragFails": .mtu,
    "TcpExt IPReversePathFilter": .reversePathFilter,
    "Udp NoPorts": .noListener, "Udp6NoPorts": .noListener,
  ]

  private mutating func readStatistics() {
    // Of this thread: /proc/net shows the namespace of the process.
    for (name, value) in Self.twoLines("/proc/thread-self/net/snmp") + Self.twoLines("/proc/thread-self/net/netstat")
      + Self.columns("/proc/thread-self/net/snmp6")
    {
      guard let reason = Self.meanings[name] else { continue }
      entries[.statistic(name)] = Entry(reason: reason, text: name, packets: value)
    }
  }

  /// `Ip: NAME NAME` above `Ip: NUMBER NUMBER`.
  private static func twoLines(_ path: String) -> [(String, UInt64)] {
    let lines = text(path).split(separator: "\n").map { $0.split(separator: " ") }
    var found: [(String, UInt64)] = []
    for (names, values) in zip(lines, lines.dropFirst()) where names.first == values.first {
      guard let group = names.first?.dropLast() else { continue }
      for (name, value) in zip(names, values).dropFirst() {
        if let number = UInt64(value) { found.append(("\(group) \(name)", number)) }
      }
    }
    return found
  }

  private static func columns(_ path: String) -> [(String, UInt64)] {
    text(path).split(separator: "\n").compactMap { line in
      let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
      guard words.count == 2, let number = UInt64(words[1]) else { return nil }
      return (String(words[0]), number)
    }
  }

  private static func text(_ path: String) -> String {
    guard let file = try? FileDescriptor.open(path, O_RDONLY) else { return "" }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 16 << 10)
    while case let count = Glibc.read(file.rawValue, &piece, piece.count), count > 0 { bytes += piece[0..<count] }
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension NodeCounters.Entry {
  /// Other traffic moves counters too: those of other interfaces say nothing of these packets, and only a node that they
  /// were for can lack somebody who listens.
  func canConcern(_ drop: Drop, _ egress: Set<String>) -> Bool {
    if reason == .noListener, !drop.atEnd { return false }
    if let incoming, let interface = drop.interface, !drop.sent, incoming != interface { return false }
    if let outgoing, !egress.isEmpty, !egress.contains(outgoing) { return false }
    return true
  }
}

/// The counters of every node as they were before a flow, and what became of them.
final class CounterSnapshots: Sendable {
  private struct State {
    var begun: Set<String> = []
    var before: [String: NodeCounters] = [:]
    var after: [String: NodeCounters] = [:]
  }
  private let state = Mutex(State())

  /// In the calling thread's network namespace, whose path is `namespace`; once for each.
  func take(_ namespace: String) {
    guard state.withLock({ $0.begun.insert(namespace).inserted }) else { return }
    let counters = NodeCounters.read()
    state.withLock { $0.before[namespace] = counters }
  }

  /// What the kernel of a node says of packets that ended there: counters that moved since then, and its route to where
  /// they were to go.
  func evidence(_ drop: Drop, _ namespace: String) -> [KernelEvidence] {
    guard let before = state.withLock({ $0.before[namespace] }) else { return [] }
    // Routes drop without a count, and the kernel says less often than it drops that there is none. A counter that moved
    // does not make it superfluous: somebody else's packets may have moved it.
    let asks = drop.suspect != nil || !drop.atEnd && !drop.sent
    let way = asks ? drop.destination.flatMap { Self.way(to: $0, namespace) } : nil
    let moved = after(namespace).map { before.changes(until: $0, about: drop, egress: way?.egress ?? []) } ?? []
    return moved + [way?.obstacle].compactMap { $0 }
  }

  /// What a node's routes say of an address.
  private struct Way {
    /// Why they do not lead there.
    var obstacle: KernelEvidence?
    var egress: Set<String> = []
  }

  private func after(_ namespace: String) -> NodeCounters? {
    if let known = state.withLock({ $0.after[namespace] }) { return known }
    let read: NodeCounters? = try? ProbeSocket.inside(namespace) { () throws(SystemError) in NodeCounters.read() }
    if let read { state.withLock { $0.after[namespace] = read } }
    return read
  }

  private static func way(to address: IPAddress, _ namespace: String) -> Way? {
    let found: Way?? = try? ProbeSocket.inside(namespace) { () throws(SystemError) in
      guard let socket = try? NetlinkSocket() else { return nil }
      return way(to: address, socket)
    }
    return found ?? nil
  }

  private static func way(to address: IPAddress, _ socket: NetlinkSocket) -> Way? {
    let found: Route?
    do throws(KernelError) {
      found = try socket.route(to: address)
    } catch {
      // What the lookup answers where the route is a black hole, and where it is a prohibition (`ip route`).
      switch error.number {
      case EINVAL: return Way(obstacle: KernelEvidence(.noRoute, .max, "its route to \(address) is a black hole"))
      case EACCES: return Way(obstacle: KernelEvidence(.filter, .max, "its route to \(address) is a prohibition"))
      default: return nil
      }
    }
    guard let found else {
      return Way(obstacle: KernelEvidence(.noRoute, .max, "it has no route to \(address)"))
    }
    let links = found.hops.compactMap { hop in hop.link.flatMap { try? socket.link($0) } }
    var way = Way(egress: Set(links.map(\.name)))
    if let first = links.first, links.count == found.hops.count, links.allSatisfy({ !$0.canCarry }) {
      way.obstacle = KernelEvidence(
        .linkDown, .max, "\(first.name), by which its route to \(address) leads, has no carrier")
    }
    return way
  }
}
