// What stands in a node when its set-up is over belongs to it: `exec` lines of its file may add routes and addresses. What
// somebody adds later is excess.
//
//   netloom-machine ── exec has ended: a mark in the run directory, then SIGURG ──► agent ── what stands ──► baseline
//
// The mark comes before the signal, and the agent looks for it once it takes signals: none of the two can be missed. (An
// agent that does not take signals yet ignores SIGURG.) The baseline outlives the agent, so that excess stays excess when
// one is restarted; one that finds the mark without it, because it was first started later, takes what stands then.

internal import ControlProtocol
internal import EventLoop
import Glibc
internal import NetTypes
internal import Netlink
internal import SwiftProtobuf

struct Baseline: Equatable {
  /// Destinations of routes of table main that no routing protocol made.
  var routes: Set<IPPrefix>
  var addresses: Set<PlacedAddress>
}

/// Where mark and baseline of one node are.
struct SetUpRecord {
  let mark: String
  let baseline: String

  init(_ directory: RunDirectory, node: String) {
    mark = directory.setUpMark(node)
    baseline = directory.baseline(node)
  }

  var isOver: Bool { access(mark, F_OK) == 0 }

  /// nil: none has been taken, or the file is none.
  func read() -> NLBaseline? {
    guard let bytes = try? SmallFile.read(baseline) else { return nil }
    return try? NLBaseline(serializedBytes: bytes)
  }

  /// Whole or not at all: an agent may be killed at any time.
  func write(_ message: NLBaseline) throws {
    let bytes: [UInt8] = try message.serializedBytes()
    let unfinished = baseline + ".new"
    try SmallFile.write(unfinished, bytes)
    try systemCall("rename", baseline) { rename(unfinished, baseline) }
  }
}

extension Baseline {
  init(_ message: NLBaseline, _ links: some Collection<Link>) {
    routes = Set(message.routes.compactMap(IPPrefix.init))
    addresses = []
    for entry in message.addresses {
      guard let link = links.first(where: { $0.name == entry.interface }) else { continue }
      for prefix in entry.addresses {
        guard let address = IPAddress(prefix.address).flatMap({ InterfaceAddress($0, length: Int(prefix.length)) })
        else { continue }
        addresses.insert(PlacedAddress(link: link.index, address: address))
      }
    }
  }

  func message(_ links: some Collection<Link>) -> NLBaseline {
    var message = NLBaseline()
    message.routes = routes.sorted().map(NLPrefix.init)
    for link in links.sorted(by: { $0.index < $1.index }) {
      let own = addresses.filter { $0.link == link.index }.map(\.address).sorted { $0.address < $1.address }
      guard !own.isEmpty else { continue }
      message.addresses.append(
        NLInterfaceAddresses.with { ($0.interface, $0.addresses) = (link.name, own.map(NLPrefix.init)) })
    }
    return message
  }
}
