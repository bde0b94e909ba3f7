internal import NetTypes
internal import Topology

/// The topology file of an import: the order of the containerlab file, the keys of a node always in one order, nothing
/// in it that a second import of the same files would write otherwise.
struct TopologyWriter {
  let name: String
  let source: String
  let variables: [String]
  /// Where the file will stand.
  let directory: String
  let nodes: [ImportedNode]
  let plan: AddressPlan

  func text() -> String {
    var lines = head()
    lines.append("name: \(YAMLText.scalar(name))")
    lines += addressing()
    lines.append("topology:")
    lines.append("  nodes:")
    for node in nodes { lines += entry(node) }
    if !plan.links.isEmpty { lines.append("  links:") }
    for link in plan.links { lines += entry(link) }
    return lines.joined(separator: "\n") + "\n"
  }

  private func head() -> [String] {
    let file = source.split(separator: "/").last.map(String.init) ?? source
    var lines = ["# Imported from the containerlab topology \(Self.comment(file)) by netloom import."]
    if !variables.isEmpty {
      lines.append("# Read with these variables of the environment: \(variables.joined(separator: ", ")).")
    }
    lines.append("# Links without `mtu` have 1500 bytes here and 9500 in containerlab.")
    return lines
  }

  /// A file's name may hold anything but a slash.
  private static func comment(_ text: String) -> String {
    String(text.map { $0.isNewline || $0.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F } ? "?" : $0 })
  }

  /// Families that nothing in the lab has are switched off; what netloom has to give out keeps clear of 10.0.0.0/8.
  private func addressing() -> [String] {
    let ipv4 = plan.families.contains(.ipv4)
    let ipv6 = plan.families.contains(.ipv6)
    var entries: [String] = []
    let gives = nodes.contains { $0.kind == .router } || plan.links.contains { needsIPv4($0) }
    if gives, ipv4 || !ipv6 {
      entries.append("  links: \(YAMLText.list([AddressPlan.linkPool]))")
      entries.append("  loopbacks: \(YAMLText.list([AddressPlan.loopbackPool]))")
    }
    if ipv6, !ipv4 { entries.append("  ipv4: false") }
    if ipv4, !ipv6 { entries.append("  ipv6: false") }
    return entries.isEmpty ? [] : ["addressing:"] + entries
  }

  private func needsIPv4(_ link: ImportedLink) -> Bool {
    if link.ends.allSatisfy({ $0.node.kind == .switch }) { return false }
    return !link.addresses.joined().contains { !$0.contains(":") }
  }

  // MARK: Nodes

  private func entry(_ node: ImportedNode) -> [String] {
    var lines = ["    \(YAMLText.scalar(node.name)):", "      kind: \(node.kind.rawValue)"]
    if let asn = node.asn { lines.append("      asn: \(asn)") }
    if let config = node.config, node.kind.daemon != nil {
      lines.append("      config: \(YAMLText.scalar(Paths.relative(config.path, to: directory)))")
    }
    if !node.loopbacks.isEmpty {
      lines.append("      loopback: \(YAMLText.list(node.loopbacks.map { "\($0.value)" }))")
    }
    if !node.routes.isEmpty {
      lines.append("      routes:")
      lines += node.routes.map {
        "        - {to: \(YAMLText.scalar("\($0.to)")), via: \(YAMLText.scalar("\($0.via)"))}"
      }
    }
    lines += mapping("sysctls", node.sysctls)
    lines += list("exec", execLines(node))
    lines += list("cmd", node.commands)
    lines += mapping("env", node.environment)
    lines += mapping("labels", node.labels)
    if !node.published.isEmpty { lines.append("      publish: \(YAMLText.list(node.published))") }
    return lines
  }

  private func execLines(_ node: ImportedNode) -> [String] {
    let dummies = node.dummies.map { "ip link add \($0) type dummy && ip link set \($0) up" }
    return dummies + (node.restored + node.exec).map(\.text)
  }

  private func list(_ key: String, _ items: [String]) -> [String] {
    items.isEmpty ? [] : ["      \(key):"] + items.map { "        - \(YAMLText.scalar($0))" }
  }

  private func mapping(_ key: String, _ pairs: [(key: String, value: String)]) -> [String] {
    pairs.isEmpty
      ? [] : ["      \(key):"] + pairs.map { "        \(YAMLText.scalar($0.key)): \(YAMLText.scalar($0.value))" }
  }

  // MARK: Links

  private func entry(_ link: ImportedLink) -> [String] {
    let ends = YAMLText.list(link.ends.map(\.name))
    var keys = ["endpoints: \(ends)"]
    if !link.addresses.isEmpty {
      keys.append("addresses: [\(link.addresses.map(YAMLText.list).joined(separator: ", "))]")
    }
    if let mtu = link.mtu { keys.append("mtu: \(mtu)") }
    let line = "    - {\(keys.joined(separator: ", "))}"
    return line.count <= 110 ? [line] : zip(keys, keys.indices).map { $1 == 0 ? "    - \($0)" : "      \($0)" }
  }
}
