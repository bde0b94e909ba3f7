internal import NetTypes
internal import Topology

/// `topology.nodes` → nodes with what they inherit, and which of them netloom has.
struct NodeReader {
  private let log: ImportLog
  private let baseDirectory: String
  private var publishedPorts: [UInt16: String] = [:]
  private(set) var nodes: [ImportedNode] = []
  /// Why a node of the file is not among them, by its name there.
  private(set) var missing: [String: String] = [:]

  init(_ topology: Value?, baseDirectory: String, _ log: ImportLog) {
    self.log = log
    self.baseDirectory = baseDirectory
    let layers = Definition.Layers(topology, log)
    let entries = log.mapping(topology?["nodes"], "`nodes`")
    var names = NameBook(reserving: entries.map(\.key))
    for entry in entries {
      let definition = Definition(entry, in: layers, log)
      guard let kind = kind(of: entry, definition) else { continue }
      let name = names.name(for: entry.key)
      if name != entry.key {
        log.changed(entry.place, "node `\(entry.key)` is `\(name)` here, and commands that name it are not rewritten")
      }
      let node = ImportedNode(
        name: name, original: entry.key, place: entry.place, definition: definition, kind: kind)
      read(node)
      nodes.append(node)
    }
  }

  /// nil after saying why it is not there.
  private mutating func kind(of entry: Value.Entry, _ definition: Definition) -> ImportedKind? {
    guard let kind = definition.kind else {
      log.error(entry.place, "node `\(entry.key)` has no `kind`; expected one there, in its group or in `defaults`")
      return nil
    }
    let mode = definition["network-mode"]
    if let mode, let text = mode.text, text.hasPrefix("container:") || text == "host" {
      let why = text == "host" ? "in the machine's own network" : "in another container's network"
      missing[entry.key] = "it lives \(why)"
      log.leftOut(mode.place, "node `\(entry.key)`: it lives \(why) (`network-mode: \(text)`)")
      return nil
    }
    switch kind {
    case "linux": return .host
    case "bridge", "ovs-bridge": return .switch
    default:
      let why =
        ["host", "ext-container", "k8s-kind"].contains(kind)
        ? "kind `\(kind)` is outside the lab" : "kind `\(kind)` needs an image; netloom runs Linux, FRR and BIRD"
      missing[entry.key] = why
      log.leftOut(definition.kindPlace, "node `\(entry.key)`: \(why)")
      return nil
    }
  }

  private mutating func read(_ node: ImportedNode) {
    let definition = node.definition
    for entry in definition.entries {
      if case .lost(let why) = NodeKeys.fate(entry.key) {
        log.leftOut(entry.place, "`\(entry.key)` of `\(node.original)`: \(why)")
      }
    }
    node.labels = pairs(node, "labels")
    guard node.kind != .switch else { return readSwitch(node) }
    if let image = definition["image"], let text = log.text(image, "`image`") {
      log.changed(image.place, "image `\(text)` is not used: nodes run the machine's own programs")
    }
    findDaemon(node)
    node.environment = pairs(node, "env").filter { key, _ in
      let fine = key.utf8.allSatisfy { (97...122).contains($0 | 32) || (48...57).contains($0) || $0 == 95 }
      if fine, let first = key.first, !first.isNumber { return true }
      log.leftOut(place(node, "env", key), "variable `\(key)` of `\(node.original)`: that is no name for a variable")
      return false
    }
    readSysctls(node)
    readPorts(node)
  }

  private func readSwitch(_ node: ImportedNode) {
    for key in ["exec", "cmd", "env", "sysctls", "ports", "binds", "image"] {
      guard let value = node.definition[key], !(value.list?.isEmpty ?? false) else { continue }
      log.leftOut(value.place, "`\(key)` of `\(node.original)`: a bridge becomes a switch, which runs nothing")
    }
  }

  private func pairs(_ node: ImportedNode, _ key: String) -> [(key: String, value: String)] {
    log.mapping(node.definition[key], "`\(key)`").compactMap { entry in
      if entry.value.isAbsent { return (entry.key, "") }
      return log.text(entry.value, "`\(key).\(entry.key)`").map { (entry.key, $0) }
    }.filter { !$0.key.isEmpty }
  }

  private func place(_ node: ImportedNode, _ key: String, _ name: String) -> Place {
    node.definition[key]?.entries?.first { $0.key == name }?.place ?? node.place
  }

  private func readSysctls(_ node: ImportedNode) {
    for (key, value) in pairs(node, "sysctls") {
      if Sysctls.belongsToNode(key), !value.isEmpty {
        node.setSysctl(key, value)
      } else {
        log.leftOut(
          place(node, "sysctls", key), "`\(key)` of `\(node.original)`: only settings under `net.` belong to a node")
      }
    }
  }

  private mutating func readPorts(_ node: ImportedNode) {
    for port in log.texts(node.definition["ports"], "`ports`") {
      switch PublishedPort.parse(port.text) {
      case .failure(let why): log.leftOut(port.place, "port `\(port.text)` of `\(node.original)`: \(why.message)")
      case .success(let pair):
        if let owner = publishedPorts.updateValue(node.original, forKey: pair.outer) {
          publishedPorts[pair.outer] = owner
          log.leftOut(port.place, "port `\(port.text)` of `\(node.original)`: port \(pair.outer) leads to `\(owner)`")
        } else {
          node.published.append("\(pair.outer):\(pair.inner)")
        }
      }
    }
  }

  // MARK: Daemons

  /// By what is bound where, then by the image's name.
  private func findDaemon(_ node: ImportedNode) {
    let binds = binds(node)
    let image = node.definition["image"]?.text.flatMap { DaemonProgram(image: $0) }
    for program in DaemonProgram.allCases {
      if let config = config(of: program, in: binds, trusting: image == program) {
        node.kind = ImportedKind(rawValue: program.rawValue) ?? .router
        node.config = config
        return
      }
    }
    guard let image else { return }
    if let file = node.definition["startup-config"], let text = file.text, !text.contains("\n") {
      node.kind = ImportedKind(rawValue: image.rawValue) ?? .router
      node.config = (Paths.absolute(text.replacingName(node.original), from: baseDirectory), file.place)
      return
    }
    node.kind = .router
    log.leftOut(
      node.place,
      "\(image.rawValue) of `\(node.original)`: no bind of `\(image.targets[0])` says how it is configured; "
        + "the node is a router with connected and static routes only")
  }

  func binds(_ node: ImportedNode) -> [Bind] {
    log.texts(node.definition["binds"], "`binds`").compactMap { text in
      var text = text
      text.text = text.text.replacingName(node.original)
      guard var bind = Bind(text) else {
        log.leftOut(text.place, "bind `\(text.text)` of `\(node.original)`: expected SOURCE:TARGET")
        return nil
      }
      if bind.source.contains("__clab") {
        log.leftOut(text.place, "bind `\(text.text)` of `\(node.original)`: there is no folder of a containerlab lab")
        return nil
      }
      bind.source = Paths.absolute(bind.source, from: baseDirectory)
      return bind
    }
  }

  /// A file, or a folder that holds it under its usual name.
  private func config(
    of program: DaemonProgram, in binds: [Bind], trusting image: Bool
  ) -> (path: String, place: Place)? {
    for target in program.targets {
      if let bind = binds.last(where: { $0.target == target }) { return (bind.source, bind.place) }
      let folder = Paths.directory(of: target)
      guard folder != "/", folder != "/etc" else { continue }
      if let bind = binds.last(where: { Paths.absolute($0.target, from: "/") == folder }) {
        return (bind.source + target.dropFirst(folder.utf8.count), bind.place)
      }
    }
    guard image else { return nil }
    // An image may be told by its command where the file is: its name is enough then.
    let names = Set(program.targets.compactMap { $0.split(separator: "/").last })
    let bind = binds.last { bind in bind.target.split(separator: "/").last.map(names.contains) ?? false }
    return bind.map { ($0.source, $0.place) }
  }
}

extension String {
  /// Containerlab's word for a node's name in its own texts.
  func replacingName(_ name: String) -> String {
    let parts = split(separator: "__clabNodeName__", omittingEmptySubsequences: false)
    return parts.count == 1 ? self : parts.joined(separator: name)
  }
}

enum Sysctls {
  /// The part of /proc/sys that a network namespace has.
  static func belongsToNode(_ key: String) -> Bool {
    guard key.hasPrefix("net.") || key.hasPrefix("net/"), !key.contains(".."), !key.contains("//") else { return false }
    return key.utf8.allSatisfy {
      (97...122).contains($0 | 32) || (48...57).contains($0) || "_-./".utf8.contains($0)
    }
  }
}

/// `[ADDRESS:]OUTER:INNER[/tcp]`
struct PublishedPort {
  struct Refusal: Error { var message: String }

  static func parse(_ text: String) -> Result<(outer: UInt16, inner: UInt16), Refusal> {
    let halves = text.split(separator: "/", omittingEmptySubsequences: false)
    if halves.count == 2, halves[1].lowercased() != "tcp" {
      return .failure(Refusal(message: "only TCP ports are published"))
    }
    let parts = (halves.first ?? "").split(separator: ":", omittingEmptySubsequences: false)
    if parts.contains(where: { $0.contains("-") }) {
      return .failure(Refusal(message: "ranges are not published; write each port"))
    }
    guard halves.count <= 2, parts.count >= 2, let outer = UInt16(parts[parts.count - 2]),
      let inner = UInt16(parts[parts.count - 1]),
      outer > 0, inner > 0
    else { return .failure(Refusal(message: "expected two ports such as 8080:80")) }
    return .success((outer, inner))
  }
}
