internal import NetTypes
internal import Topology

/// Which switches hold together as one Ethernet. A trunk that is down splits a segment.
struct SwitchFabric: Sendable {
  private let switches: [String]
  /// Links between two switches: index in the lab, and the two names.
  private let trunks: [(link: Int, a: String, b: String)]
  /// Per switch, the AS numbers of the routers and daemons on its whole segment: more than one is a peering LAN.
  private let soleOwner: [String: Owner]

  private enum Owner { case nobody, one(UInt32), several }

  init(_ lab: ResolvedLab) {
    switches = lab.nodes.filter { $0.kind == .switch }.map(\.name)
    let names = Set(switches)
    trunks = lab.links.enumerated().compactMap { index, link in
      names.contains(link.a.node) && names.contains(link.b.node) ? (index, link.a.node, link.b.node) : nil
    }
    var owners: [String: Owner] = [:]
    for segment in lab.segments {
      let owner = Self.owner(of: segment, lab)
      for name in segment.switches { owners[name] = owner }
    }
    soleOwner = owners
  }

  private static func owner(of segment: Segment, _ lab: ResolvedLab) -> Owner {
    var numbers: Set<UInt32> = []
    for member in segment.members {
      guard let node = lab.node(member.node), node.kind.forwards else { continue }
      if let asn = node.asn {
        numbers.insert(asn.rawValue)
      } else if node.kind.isDaemon {
        return .several
      }
    }
    guard let first = numbers.first else { return .nobody }
    return numbers.count == 1 ? .one(first) : .several
  }

  /// Whether the segment behind this switch belongs to the AS alone.
  func isInside(_ asn: UInt32, _ name: String) -> Bool {
    if case .one(asn) = soleOwner[name] { return true }
    return false
  }

  /// Switch -> number of the Ethernet it is part of.
  func ethernets(during outage: Outage) -> [String: Int] {
    var parents = Array(switches.indices)
    let positions = Dictionary(uniqueKeysWithValues: switches.enumerated().map { ($1, $0) })
    func root(_ index: Int) -> Int {
      var index = index
      while parents[index] != index { index = parents[index] }
      return index
    }
    for trunk in trunks where !outage.links.contains(trunk.link) {
      guard !outage.nodes.contains(trunk.a), !outage.nodes.contains(trunk.b), let a = positions[trunk.a],
        let b = positions[trunk.b]
      else { continue }
      parents[root(a)] = root(b)
    }
    return positions.mapValues(root)
  }
}
