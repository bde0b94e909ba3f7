// Links that declare a delay. Where the kernel has no netem, a link that is to delay is two veth pairs, whose far ends
// stand in a namespace of their own, with a relay (module Relay) between them:
//
//   node A: eth1 ══ l3a │ relay's namespace │ l3b ══ eth1 : node B
//
// This file makes and keeps what is around the relays: the far ends, their carrier, the processes. A plain veth pair
// shows NO-CARRIER at one end when the other is set down; so the far end at B is up exactly while A's end is up (and a
// relay runs), and the other way. Each end's state is read in its own namespace: a far end that is down could not see
// whether the other one came back.
//
// A relay that dies takes the carrier of its links with it and is started again, as every process of the lab. One relay
// serves eight links: the kernel closes packet sockets one after the other, 15 ms each, and the end of a lab waits for it.
import ControlProtocol
import EventLoop
import Glibc
import NetTypes
import Netlink
import Relay

final class DelayedLinks {
  /// One link as it stands.
  private struct Entry {
    var link: RelayedLink
    let relay: Int
    /// Set up in their nodes.
    var aIsUp = true
    var bIsUp = true
    /// What the far ends were last set to.
    var farAIsUp = false
    var farBIsUp = false
  }

  private static let linksPerRelay = 8

  private let lab: LabContext
  private let network: NetworkBuilder
  /// Where the far ends stand; no node.
  let namespace: Namespace
  private let socket: NetlinkSocket
  private var entries: [Int: Entry] = [:]  // by the link's place in the plan
  private var relays: [RelayProcess] = []
  private var watchers: [(node: Node, monitor: Monitor)] = []

  /// nil: no link of the plan declares a delay.
  init?(_ lab: LabContext, _ network: NetworkBuilder) throws(BuildError) {
    let delayed = network.links.indices.filter { network.links[$0].delay != nil }
    if delayed.isEmpty { return nil }
    self.lab = lab
    self.network = network
    do throws(KernelError) {
      namespace = try Namespace.create()
      try namespace.run(Self.silence)
      socket = try NetlinkSocket(in: namespace, receiveBuffer: 256 << 10)
    } catch {
      throw BuildError("the namespace of delayed links: \(error)")
    }
    for (place, number) in delayed.enumerated() {
      entries[number] = Entry(link: RelayedLink(network, number), relay: place / Self.linksPerRelay)
    }
    for number in 0...(delayed.count - 1) / Self.linksPerRelay { relays.append(makeRelay(number)) }
  }

  /// The far ends pass on what others say and say nothing themselves.
  private static func silence() throws(KernelError) {
    for name in ["net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.default.disable_ipv6"] {
      do throws(KernelError) {
        try Sysctl.write(Sysctl.Setting(name, "1"))
      } catch  where error.isNotThere {
        continue  // a kernel without IPv6
      }
    }
  }

  private func makeRelay(_ number: Int) -> RelayProcess {
    let links: () -> [RelayedLink] = { [unowned self] in
      entries.values.filter { $0.relay == number }.map(\.link).sorted { $0.id < $1.id }
    }
    return RelayProcess(
      lab, name: number == 0 ? "relay" : "relay\(number + 1)", namespace, links: links,
      changed: { [unowned self] in mirror(entries.keys.filter { entries[$0]?.relay == number }) })
  }

  var supervisors: [Supervisor] { relays.map(\.supervisor) }

  // MARK: Starting

  /// Once the links stand: starts the relays and returns when packets pass.
  func start() throws(BuildError) {
    do throws(KernelError) {
      var batch = MessageBatch(capacity: 4096)
      // A far end takes whatever its node's end sends; what is too large for the other node's end is dropped there, as
      // on a plain pair.
      for entry in entries.values {
        for index in [entry.link.a, entry.link.b] {
          batch.setLink(InterfaceIndex(rawValue: index), .init(mtu: Self.largestMTU))
        }
      }
      try socket.commit(&batch)
    } catch {
      throw BuildError("the far ends of delayed links: \(error)")
    }
    for relay in relays { relay.supervisor.start() }
    for relay in relays { try relay.awaitReady() }
  }

  /// Of a veth.
  private static let largestMTU: UInt32 = 65535

  /// Begins to watch the ends in their nodes. Reading them makes them send, as in `mirror`.
  func watch(_ nodes: [Node]) {
    for node in nodes where network.ends[node.place].contains(where: { entries[$0.link] != nil }) {
      do throws(KernelError) {
        let monitor = try Monitor([.links], in: node.namespace, receiveBuffer: 256 << 10)
        watchers.append((node, monitor))
        do throws(SystemError) {
          try lab.loop.register(monitor.fileDescriptor, .read) { [unowned self] _ in heard(node, monitor) }
        } catch {
          throw KernelError(number: error.code, call: error.call)
        }
        reread(node)
      } catch {
        MachineLog.warning("\(node.name): cannot watch the ends of delayed links: \(error)")
      }
    }
  }

  private func heard(_ node: Node, _ monitor: Monitor) {
    do throws(KernelError) {
      while try monitor.read().mayHaveMore {}
    } catch {
      MachineLog.warning("\(node.name): watching delayed links: \(error)")
    }
    reread(node)
  }

  // MARK: Carrier

  /// Brings the far ends in line with a node's ends as they are now. What an event says may be older than what the
  /// machine did since; what the kernel says now is not.
  func reread(_ node: Node) {
    let ends = network.ends[node.place].filter { entries[$0.link] != nil }
    guard !ends.isEmpty else { return }
    do throws(KernelError) {
      let socket = try NetlinkSocket(in: node.namespace, receiveBuffer: 256 << 10)
      for end in ends {
        let isUp = try socket.link(network.own(end).index)?.isUp ?? false
        if end.isA { entries[end.link]?.aIsUp = isUp } else { entries[end.link]?.bIsUp = isUp }
      }
    } catch {
      MachineLog.warning("\(node.name): the ends of delayed links: \(error)")
    }
    mirror(ends.map(\.link))
  }

  private func mirror(_ links: [Int]) {
    var batch = MessageBatch(capacity: 1024)
    var raised: [InterfaceIndex] = []
    for number in links {
      guard var entry = entries[number] else { continue }
      let passes = relays[entry.relay].isReady
      let (farA, farB) = (passes && entry.bIsUp, passes && entry.aIsUp)
      for (index, wanted, now) in [(entry.link.a, farA, entry.farAIsUp), (entry.link.b, farB, entry.farBIsUp)]
      where wanted != now {
        batch.setLink(InterfaceIndex(rawValue: index), up: wanted)
        if wanted { raised.append(InterfaceIndex(rawValue: index)) }
      }
      (entry.farAIsUp, entry.farBIsUp) = (farA, farB)
      entries[number] = entry
    }
    guard !batch.isEmpty else { return }
    do throws(KernelError) {
      for refusal in try socket.commitReportingEach(&batch) where !refusal.isNotThere {
        MachineLog.warning("carrier of a delayed link: \(refusal)")
      }
      // An interface sends once the kernel has taken note of its carrier, in a worker of its own or when it is asked
      // (rtnl_getlink). The first SYN of a session would be lost, and come again after a second.
      for index in raised { _ = try socket.link(index) }
    } catch {
      MachineLog.warning("carrier of delayed links: \(error)")
    }
  }

  // MARK: Delay

  func relay(of link: Int) -> RelayProcess? { entries[link].map { relays[$0.relay] } }

  /// Changes the delays of a link; nil: stays as it is. Packets under way keep their time.
  /// - Parameter done: called once every packet from now on has it, or the relay has died (the next one will have it).
  func set(link number: Int, aToB: LinkDelay?, bToA: LinkDelay?, done: @escaping () -> Void) throws(BuildError) {
    guard var entry = entries[number] else { throw network.declaresNoDelay(number) }
    if let aToB { entry.link.aToB = aToB }
    if let bToA { entry.link.bToA = bToA }
    entries[number] = entry
    relays[entry.relay].order(.delay(link: entry.link.id, aToB: entry.link.aToB, bToA: entry.link.bToA), done)
  }
}

extension DelayedLinks {
  /// What these links have carried, those without a running relay left out.
  func count(_ links: [UInt32], done: @escaping ([NLLinkCounters]) -> Void) {
    let asked = links.compactMap { link in relay(of: Int(link)).map { (link, $0) } }
    guard !asked.isEmpty else { return done([]) }
    var left = asked.count
    var answers: [NLLinkCounters] = []
    for (link, relay) in asked {
      relay.count(link) { counts in
        if let counts { answers.append(NLLinkCounters(link, counts)) }
        left -= 1
        if left == 0 { done(answers) }
      }
    }
  }
}

extension NLLinkCounters {
  fileprivate init(_ link: UInt32, _ counts: RelayProcess.LinkCounts) {
    self.init()
    self.link = link
    aToB = NLRelayCounters(counts.aToB)
    bToA = NLRelayCounters(counts.bToA)
  }
}

extension NLRelayCounters {
  fileprivate init(_ carried: CarriedPackets) {
    self.init()
    (packets, dropped) = (carried.packets, carried.dropped)
    (lateMedianNs, lateP99Ns, lateMaxNs) = (carried.lateMedian, carried.lateP99, carried.latest)
  }
}

extension NetworkBuilder {
  /// Why a delay cannot be set.
  func declaresNoDelay(_ number: Int) -> BuildError {
    guard links.indices.contains(number) else { return BuildError("there is no link \(number)") }
    return BuildError(
      "link \(name(of: links[number].a)) - \(name(of: links[number].b)) declares no delay: write `delay: 0ms` at it")
  }

  func name(of end: PlannedEnd) -> String { "\(nodes[end.node].name):\(end.name.text)" }
}

extension RelayedLink {
  /// An interface whose peer has its own index is taken for one without a peer, and the kernel leaves the changes of its
  /// carrier for up to a second, or longer where many links change. Nodes count from 2.
  private static let firstIndex: UInt32 = 1 << 20

  /// The far ends have indexes and names by the link's place in the plan.
  init(_ network: NetworkBuilder, _ number: Int) {
    let link = network.links[number]
    let delay = link.delay ?? LinkDelay(microseconds: 0)
    self.init(
      id: UInt32(number), a: Self.firstIndex + UInt32(2 * number), b: Self.firstIndex + UInt32(2 * number + 1),
      aToB: delay, bToA: delay,
      nameOfA: network.name(of: link.a), nameOfB: network.name(of: link.b))
  }
}

extension LinkDelay {
  init(_ delay: NLLinkDelay) { self.init(microseconds: delay.delayUs, jitter: delay.jitterUs) }
}
