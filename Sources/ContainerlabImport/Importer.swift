internal import NetTypes
internal import Topology

/// The stages of one import, in order; each works on what the ones before have left.
struct Importer {
  let file: String
  let baseDirectory: String
  let target: ContainerlabFile.Target
  /// Variables of the environment that the file was read with.
  let variables: [String]
  let log: ImportLog

  /// nil when something was wrong; `log` has it.
  func run(_ root: Value) -> Parsed<ImportedTopology>? {
    guard root.entries != nil else {
      log.error(root.place, "the file is \(root.kind); expected `name` and `topology`")
      return nil
    }
    let name = readHead(root)
    let topology = root["topology"]
    checkTopologyKeys(topology)
    var reader = NodeReader(topology, baseDirectory: baseDirectory, log)
    if !log.failed, reader.nodes.isEmpty {
      log.error(topology?["nodes"]?.place ?? root.place, "no node that netloom could run")
    }
    let links = withoutRepeatedStations(LinkReader(topology, reader, log).links)
    guard !log.failed, let name else { return nil }
    for node in reader.nodes where node.kind != .switch { readSettings(of: node, &reader) }
    guard !log.failed else { return nil }
    let plan = AddressPlan(links, nodes: reader.nodes, log)
    for node in reader.nodes { place(routesOf: node, plan) }
    for node in reader.nodes { sayWhatStays(node) }
    let writer = TopologyWriter(
      name: name, source: file, variables: variables, directory: target.directory, nodes: reader.nodes, plan: plan)
    return checked(writer.text())
  }

  /// The result is a topology, or this module is wrong; then nothing is given out.
  private func checked(_ text: String) -> Parsed<ImportedTopology>? {
    let parsed = TopologyFile.parse(text: text, file: target.name, baseDirectory: target.directory)
    guard let lab = parsed.value else {
      for diagnostic in parsed.errors {
        log.error(
          Place(file: file, line: 1, column: 1),
          "this lab has no netloom form: \(diagnostic.message) (line \(diagnostic.place.line) of what it became)")
      }
      return nil
    }
    return Parsed(
      value: ImportedTopology(text: text, findings: log.sortedFindings, lab: lab, warnings: parsed.warnings),
      diagnostics: [])
  }

  // MARK: The file as a whole

  private func readHead(_ root: Value) -> String? {
    for entry in root.entries ?? [] {
      switch entry.key {
      case "name", "topology", "prefix", "debug": break
      case "mgmt":
        log.leftOut(entry.place, "`mgmt`: netloom has no management network: `netloom exec NODE` needs none")
      case "settings": log.leftOut(entry.place, "`settings`: they are about containerlab itself")
      default: log.leftOut(entry.place, "`\(entry.key)`: netloom has nothing of that name")
      }
    }
    if root["topology"]?.entries == nil {
      let place = root["topology"]?.place ?? root.place
      log.error(place, "`topology` is \(root["topology"]?.kind ?? "missing"); expected `nodes` and `links`")
    }
    guard let value = root["name"], let name = log.text(value, "`name`") else {
      if root["name"]?.isAbsent ?? true { log.error(root.place, "the lab has no `name`") }
      return nil
    }
    let normal = NameBook.normal(name)
    if normal != name { log.changed(value.place, "the lab `\(name)` is `\(normal)` here") }
    return normal
  }

  private func checkTopologyKeys(_ topology: Value?) {
    let known: Set = ["defaults", "kinds", "groups", "nodes", "links"]
    for entry in topology?.entries ?? [] where !known.contains(entry.key) {
      log.leftOut(entry.place, "`topology.\(entry.key)`: netloom has nothing of that name")
    }
  }

  /// A second way of one node onto one Ethernet would be a second interface in one subnet, which a topology has not.
  private func withoutRepeatedStations(_ links: [ImportedLink]) -> [ImportedLink] {
    var repeated: Set<Int> = []
    for ethernet in Ethernet.find(in: links) {
      var seen: Set<String> = []
      for port in ethernet.ports {
        let end = links[port.link].ends[port.side]
        guard !seen.insert(end.node.name).inserted else { continue }
        repeated.insert(port.link)
        end.node.interfaces.removeAll { $0 == end.interface }
        log.leftOut(links[port.link].place, "link of `\(end.name)`: `\(end.node.name)` is on that Ethernet already")
      }
    }
    return links.enumerated().filter { !repeated.contains($0.offset) }.map(\.element)
  }

  // MARK: Nodes

  private func readSettings(of node: ImportedNode, _ reader: inout NodeReader) {
    let all = reader.binds(node)
    var binds = all
    if let daemon = node.kind.daemon, let config = node.config {
      binds = all.filter { !isOfDaemon($0, daemon, config.path) }
      read(config, of: node, daemon)
      if daemon == .frr { readPrograms(of: node, all) }
    }
    var commands = CommandReader(node, binds: binds, log)
    commands.read()
    if node.kind == .host { decideForwarding(node) }
  }

  /// Binds of its configuration, and of files that netloom makes for it.
  private func isOfDaemon(_ bind: Bind, _ daemon: DaemonProgram, _ config: String) -> Bool {
    bind.source == config || config.hasPrefix(bind.source + "/") || daemon.ownFiles.contains(bind.target)
  }

  private func read(_ config: (path: String, place: Place), of node: ImportedNode, _ daemon: DaemonProgram) {
    switch TextFile.read(config.path) {
    case .failure(let problem):
      log.error(config.place, "configuration of `\(node.original)`: \(problem.message)")
    case .success(let text):
      let found = DaemonConfiguration(daemon, text: text, file: config.path)
      node.asn = found.asn
      for address in found.addresses {
        let placed = PlacedAddress(value: address.value, place: address.place, fromCommand: false)
        if node.interfaces.contains(address.interface) {
          node.addresses[address.interface, default: []].append(placed)
        } else if address.interface == "lo", Int(address.value.length) == address.value.address.family.bits,
          address.value.isUsable, !node.loopbacks.contains(where: { $0.value == address.value })
        {
          node.loopbacks.append(placed)
        }
      }
      for other in found.otherProtocols { sayNotStarted("`router \(other.name)`", node, other.place) }
    }
  }

  private func readPrograms(of node: ImportedNode, _ binds: [Bind]) {
    let path =
      binds.last { $0.target == "/etc/frr/daemons" }?.source
      ?? binds.last { Paths.absolute($0.target, from: "/") == "/etc/frr" }.map { $0.source + "/daemons" }
    guard let path, case .success(let text) = TextFile.read(path) else { return }
    for other in DaemonConfiguration.otherPrograms(inDaemons: text, file: path) {
      sayNotStarted("`\(other.name)`", node, other.place)
    }
  }

  private func sayNotStarted(_ what: String, _ node: ImportedNode, _ place: Place) {
    log.leftOut(place, "\(what) of `\(node.original)`: of FRR netloom starts zebra, staticd and bgpd")
  }

  /// A container forwards where its host does, which Docker sees to; netloom's hosts do not.
  private func decideForwarding(_ node: ImportedNode) {
    let forwards = ["net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding", "net.ipv6.conf.all.forwarding"]
    let written = node.sysctls.filter { pair in forwards.contains(pair.key.split(separator: "/").joined(separator: "."))
    }
    if written.contains(where: { $0.value != "0" }) {
      node.kind = .router
    } else if written.isEmpty, node.interfaces.count > 1 {
      node.kind = .router
      log.changed(
        node.place,
        "`\(node.original)` has several links and becomes a router, without BGP; "
          + "write `kind: host` if it is not to forward")
    }
  }

  /// Routes that a topology can have become `routes`, the others commands again.
  private func place(routesOf node: ImportedNode, _ plan: AddressPlan) {
    var subnets: [(subnet: IPPrefix, own: IPAddress)] = []
    for link in plan.links {
      for (end, addresses) in zip(link.ends, link.addresses) where end.node === node {
        subnets += addresses.compactMap { InterfaceAddress($0) }.map { ($0.prefix, $0.address) }
      }
    }
    var known: Set<IPPrefix> = []
    node.routes = node.routes.filter { route in
      let fits = subnets.contains { $0.subnet.contains(route.via) } && !subnets.contains { $0.own == route.via }
      if fits, known.insert(route.to).inserted { return true }
      var words = ShellWords.split(route.command) ?? []
      // The node may have a default route from netloom already.
      if route.to.length == 0, let add = words.firstIndex(of: "add"), words.first == "ip" { words[add] = "replace" }
      node.exec.append(KeptCommand(text: ShellWords.join(words), place: route.place))
      return false
    }
  }

  private func sayWhatStays(_ node: ImportedNode) {
    guard let first = node.exec.first else { return }
    let many = node.exec.count == 1 ? "1 `exec` line runs" : "\(node.exec.count) `exec` lines run"
    log.changed(
      first.place,
      "\(many) on `\(node.original)` with the machine's own programs and files, not an image's; "
        + "one that fails ends `netloom up`")
  }
}
