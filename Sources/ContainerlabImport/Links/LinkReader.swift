internal import NetTypes
internal import Topology

/// `topology.links`, in the brief and in the extended form → links between nodes; a `dummy` becomes a command of its
/// node, and what leaves the lab (host, management network, macvlan, VXLAN) is left out.
struct LinkReader {
  private let log: ImportLog
  private let nodes: [String: ImportedNode]
  private let missing: [String: String]
  private var owners: [String: Place] = [:]
  private(set) var links: [ImportedLink] = []

  /// An end as the file has it; `nil` interface: none is written.
  private struct Endpoint {
    var node: String
    var interface: String?
    var place: Place
    /// `ipv4` and `ipv6` of the end.
    var addresses: [PlacedText] = []
  }

  /// Names that stand for no node in the brief form, and types without a second node in the extended one.
  private static let outside = [
    "host": "the machine is not a node of the lab",
    "mgmt-net": "netloom has no management network",
    "macvlan": "the lab has no way into the machine's network",
    "vxlan": "the lab has no way out of the machine",
    "vxlan-stitch": "the lab has no way out of the machine",
  ]

  init(_ topology: Value?, _ reader: NodeReader, _ log: ImportLog) {
    self.log = log
    nodes = Dictionary(reader.nodes.map { ($0.original, $0) }, uniquingKeysWith: { first, _ in first })
    missing = reader.missing
    for item in log.list(topology?["links"], "`links`") { read(item) }
  }

  private mutating func read(_ item: Value) {
    guard let entries = item.entries else {
      return log.error(item.place, "a link is \(item.kind); expected a mapping with `endpoints`")
    }
    for entry in entries where ["vars", "labels"].contains(entry.key) && !entry.value.isAbsent {
      log.leftOut(entry.place, "`\(entry.key)` of a link: netloom gives it no meaning")
    }
    let known: Set = [
      "vars", "labels", "endpoints", "endpoint", "type", "mtu", "ipv4", "ipv6", "host-interface", "mode", "remote",
      "vni", "dst-port", "src-port",
    ]
    for entry in entries where !known.contains(entry.key) {
      log.leftOut(entry.place, "`\(entry.key)` of a link: netloom has nothing of that name")
    }
    let type = log.text(item["type"], "`type`")
    if let type, type != "veth" {
      readEnd(item, type)
    } else if let ends = endpoints(item, extended: type != nil) {
      connect(ends, item)
    }
  }

  // MARK: Forms

  private func endpoints(_ item: Value, extended: Bool) -> [Endpoint]? {
    guard let list = item["endpoints"], let items = list.list, items.count == 2 else {
      let value = item["endpoints"] ?? item
      log.error(value.place, "a link needs `endpoints`, a list of two; this is \(value.kind)")
      return nil
    }
    let ends = items.compactMap { $0.entries == nil && !extended ? brief($0) : written($0) }
    guard ends.count == 2 else { return nil }
    return zip(ends, [0, 1]).map { end, index in
      var end = end
      for key in ["ipv4", "ipv6"] {
        guard let list = item[key]?.list, index < list.count, let text = list[index].text else { continue }
        end.addresses.append(PlacedText(text: text, place: list[index].place))
      }
      return end
    }
  }

  private func brief(_ item: Value) -> Endpoint? {
    guard let text = item.text else {
      log.error(item.place, "an endpoint is \(item.kind); expected NODE:INTERFACE")
      return nil
    }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    if parts == ["dummy"] { return Endpoint(node: "dummy", place: item.place) }
    guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
      log.error(item.place, "endpoint `\(text)`; expected NODE:INTERFACE")
      return nil
    }
    return Endpoint(node: parts[0], interface: parts[1], place: item.place)
  }

  private func written(_ item: Value) -> Endpoint? {
    guard item.entries != nil, let node = log.text(item["node"], "`node`") else {
      log.error(item.place, "an endpoint is \(item.kind); expected `node` and `interface`")
      return nil
    }
    var end = Endpoint(node: node, interface: log.text(item["interface"], "`interface`"), place: item.place)
    for entry in item.entries ?? [] {
      switch entry.key {
      case "node", "interface": break
      case "ipv4", "ipv6":
        if let text = log.text(entry.value, "`\(entry.key)`") {
          end.addresses.append(PlacedText(text: text, place: entry.value.place))
        }
      case "mac": log.leftOut(entry.place, "`mac` of `\(node)`: netloom gives out MAC addresses")
      default: log.leftOut(entry.place, "`\(entry.key)` of an endpoint: netloom has nothing of that name")
      }
    }
    return end
  }

  /// The extended form of what has one end in the lab.
  private mutating func readEnd(_ item: Value, _ type: String) {
    guard type == "dummy" || Self.outside[type] != nil else {
      log.leftOut(item["type"]?.place ?? item.place, "a link of type `\(type)`: netloom has nothing of that name")
      return
    }
    guard let end = (item["endpoint"] ?? item["endpoints"]?.list?.first).flatMap({ written($0) }) else {
      return log.error(item.place, "a link of type `\(type)` needs `endpoint`, with `node` and `interface`")
    }
    connect([end, Endpoint(node: type, interface: "", place: end.place)], item)
  }

  // MARK: Links

  private mutating func connect(_ ends: [Endpoint], _ item: Value) {
    let names = ends.map { end in end.node + (end.interface.map { $0.isEmpty ? "" : ":\($0)" } ?? "") }
    let title = "link \(names.map { "`\($0)`" }.joined(separator: " to "))"
    // A node of that name goes before the word.
    if let index = ends.firstIndex(where: { $0.node == "dummy" && nodes["dummy"] == nil }) {
      return addDummy(ends[1 - index], item)
    }
    for end in ends where nodes[end.node] == nil {
      guard let why = missing[end.node].map({ "`\(end.node)` is left out: \($0)" }) ?? Self.outside[end.node] else {
        log.error(end.place, "unknown node `\(end.node)`; expected a name under `nodes`")
        return
      }
      return log.leftOut(item.place, "\(title): \(why)")
    }
    guard let a = claim(ends[0], title, item), let b = claim(ends[1], title, item) else { return }
    if a.node === b.node { return log.leftOut(item.place, "\(title): a link has two nodes here") }
    var link = ImportedLink(a: a, b: b, place: item.place)
    link.mtu = mtu(item, title)
    links.append(link)
    for (end, made) in zip(ends, [a, b]) {
      made.node.interfaces.append(made.interface)
      for text in end.addresses { give(text, to: made) }
    }
  }

  private mutating func claim(_ end: Endpoint, _ title: String, _ item: Value) -> LinkEnd? {
    guard let node = nodes[end.node] else { return nil }
    guard let interface = end.interface, !interface.isEmpty else {
      log.error(end.place, "an endpoint of `\(end.node)` without an interface; expected NODE:INTERFACE")
      return nil
    }
    guard InterfaceName(interface) != nil, interface != "lo" else {
      log.leftOut(item.place, "\(title): `\(interface)` is no name of a Linux interface (at most 15 characters)")
      return nil
    }
    if let first = owners.updateValue(end.place, forKey: "\(node.name):\(interface)") {
      log.error(end.place, "`\(end.node):\(interface)` is already used in line \(first.line)")
      return nil
    }
    return LinkEnd(node: node, interface: interface, place: end.place)
  }

  private func mtu(_ item: Value, _ title: String) -> String? {
    guard let value = item["mtu"], let text = log.text(value, "`mtu`") else { return nil }
    guard let number = Int(text), (68...65535).contains(number) else {
      log.error(value.place, "mtu: `\(text)`; expected a whole number from 68 to 65535")
      return nil
    }
    if number < 1280 {
      // RFC 8200 section 5
      log.leftOut(value.place, "mtu \(number) of \(title): IPv6 needs 1280")
      return nil
    }
    return String(number)
  }

  private func give(_ text: PlacedText, to end: LinkEnd) {
    guard let address = InterfaceAddress(text.text) else {
      return log.error(text.place, "`\(text.text)`; expected an address with its length, such as 192.0.2.1/24")
    }
    let placed = PlacedAddress(value: address, place: text.place, fromCommand: true)
    end.node.addresses[end.interface, default: []].append(placed)
  }

  private mutating func addDummy(_ end: Endpoint, _ item: Value) {
    guard let node = nodes[end.node] else {
      if let why = missing[end.node] {
        return log.leftOut(item.place, "dummy interface of `\(end.node)`: it is left out: \(why)")
      }
      return log.error(end.place, "unknown node `\(end.node)`; expected a name under `nodes`")
    }
    guard node.kind != .switch else {
      return log.leftOut(item.place, "dummy interface of `\(end.node)`: a bridge becomes a switch, which runs nothing")
    }
    guard let made = claim(end, "dummy interface of `\(end.node)`", item) else { return }
    node.dummies.append(made.interface)
    log.changed(item.place, "dummy interface `\(end.node):\(made.interface)` is made by a command of the node")
    for text in end.addresses {
      guard let address = InterfaceAddress(text.text) else { continue }
      node.exec.append(
        KeptCommand(text: "ip address add \(address) dev \(made.interface)", place: text.place))
    }
  }
}
