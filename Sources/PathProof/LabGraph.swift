public import NetTypes

/// One end of a link, by its names.
public struct InterfacePlace: Hashable, Sendable, CustomStringConvertible {
  public var node: String
  public var interface: String

  public init(_ node: String, _ interface: String) {
    self.node = node
    self.interface = interface
  }

  /// `NODE:IFACE`.
  public var description: String { "\(node):\(interface)" }
}

/// How far what passes an interface has been seen.
public enum Coverage: Sendable, Equatable {
  case captured
  /// Captured, and the kernel dropped this many packets on the way to us.
  case dropped(UInt64)
  /// Administratively down: nothing passes.
  case down
  /// The node does not run. Undecided only where a packet went there.
  case absent
  /// Could not be captured although packets may pass.
  case failed(String)
}

public struct ObservedInterface: Sendable, Equatable {
  public var place: InterfacePlace
  /// Tells what leaves from what arrives; nil when it is not captured.
  public var mac: MACAddress?
  public var coverage: Coverage

  public init(_ place: InterfacePlace, mac: MACAddress?, coverage: Coverage = .captured) {
    self.place = place
    self.mac = mac
    self.coverage = coverage
  }
}

public struct LabNode: Sendable, Equatable {
  public var name: String
  /// A layer-2 switch: no hop, its ports join links into one segment.
  public var isSwitch: Bool
  public var addresses: Set<IPAddress>

  public init(name: String, isSwitch: Bool = false, addresses: Set<IPAddress> = []) {
    self.name = name
    self.isSwitch = isSwitch
    self.addresses = addresses
  }
}

/// The lab as the proof needs it: which interfaces hear each other, who owns which address, what was captured.
public struct LabGraph: Sendable {
  public let interfaces: [ObservedInterface]
  private let nodes: [String: LabNode]
  /// Interface index → segment (a link, or several joined by switches).
  private let segments: [Int]
  private let membersOfSegment: [[Int]]

  public init(interfaces: [ObservedInterface], nodes: [LabNode], links: [(InterfacePlace, InterfacePlace)]) {
    self.interfaces = interfaces
    self.nodes = Dictionary(nodes.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var sets = DisjointPlaces()
    for (a, b) in links { sets.join(a, b) }
    for node in nodes where node.isSwitch {
      let ports = links.flatMap { [$0.0, $0.1] }.filter { $0.node == node.name }
      for port in ports.dropFirst() { sets.join(ports[0], port) }
    }
    let keys = interfaces.map { sets.key($0.place) }  // an interface on no link gets a segment of its own
    let roots = keys.map { sets.root($0) }
    segments = roots
    var members = [[Int]](repeating: [], count: (roots.max() ?? -1) + 1)
    for (index, root) in roots.enumerated() { members[root].append(index) }
    membersOfSegment = members
  }

  func node(of interface: Int) -> String { interfaces[interface].place.node }

  func segment(of interface: Int) -> Int { segments[interface] }

  /// The other observed interfaces of the segment.
  func neighbors(of interface: Int) -> [Int] { membersOfSegment[segments[interface]].filter { $0 != interface } }

  func owns(_ node: String, _ address: IPAddress) -> Bool { nodes[node]?.addresses.contains(address) ?? false }

  func owner(of address: IPAddress) -> String? {
    nodes.values.filter { $0.addresses.contains(address) }.map(\.name).min()
  }

  func isSwitch(_ node: String) -> Bool { nodes[node]?.isSwitch ?? false }
}

/// Union-find over interfaces, those of switches included, which nobody captures.
private struct DisjointPlaces {
  private var keys: [InterfacePlace: Int] = [:]
  private var parents: [Int] = []

  mutating func key(_ place: InterfacePlace) -> Int {
    if let known = keys[place] { return known }
    keys[place] = parents.count
    parents.append(parents.count)
    return parents.count - 1
  }

  func root(_ key: Int) -> Int {
    var current = key
    while parents[current] != current { current = parents[current] }
    return current
  }

  mutating func join(_ a: InterfacePlace, _ b: InterfacePlace) {
    let first = key(a)
    let second = key(b)
    parents[root(first)] = root(second)
  }
}
