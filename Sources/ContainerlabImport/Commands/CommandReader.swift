internal import NetTypes
internal import Topology

/// `exec` and `cmd` of a node: what sets up addresses, routes and kernel settings is moved to where the topology has it,
/// what a node has no use for is left out, and the rest stays a command.
struct CommandReader {
  private let node: ImportedNode
  private let log: ImportLog
  /// What the container would have seen where.
  private let binds: [Bind]
  private var usedBinds: Set<String> = []
  /// The image is that of a daemon, whether or not its configuration was found.
  private let image: DaemonProgram?
  private var kept: [KeptCommand] = []

  /// `binds`: without those of the daemon's own files.
  init(_ node: ImportedNode, binds: [Bind], _ log: ImportLog) {
    self.node = node
    self.binds = binds
    self.log = log
    image = node.kind.daemon ?? node.definition["image"]?.text.flatMap { DaemonProgram(image: $0) }
  }

  mutating func read() {
    for item in log.texts(node.definition["exec"], "`exec`") { readExec(named(item)) }
    if let item = node.definition["cmd"], let text = log.text(item, "`cmd`") {
      readServer(named(PlacedText(text: text, place: item.place)))
    }
    node.exec += kept
    for bind in binds where !usedBinds.contains(bind.target) {
      log.leftOut(
        bind.place,
        "bind of `\(bind.target)` on `\(node.original)`: nothing is mounted into a node, which sees the "
          + "machine's files")
    }
  }

  private func named(_ text: PlacedText) -> PlacedText {
    PlacedText(text: text.text.replacingName(node.original), place: text.place)
  }

  private mutating func readExec(_ item: PlacedText) {
    guard let words = words(item) else { return }
    guard let script = ShellWords.script(words) else { return read(words, at: item.place) }
    if let commands = ShellWords.simpleCommands(script.text) {
      for command in commands { read(command, at: item.place) }
    } else {
      // netloom's exec lines are scripts of sh already.
      keep(script.shell == "sh" ? script.text : ShellWords.join(substituted(words, at: item.place)), at: item.place)
    }
  }

  /// nil after saying why it is no command.
  private func words(_ item: PlacedText) -> [String]? {
    if item.text.contains("__clab") {
      log.leftOut(item.place, "`\(item.text.short)` of `\(node.original)`: there is no folder of a containerlab lab")
      return nil
    }
    guard let words = ShellWords.split(item.text) else {
      log.leftOut(item.place, "`\(item.text.short)` of `\(node.original)`: a quote is not closed")
      return nil
    }
    return words.isEmpty ? nil : words
  }

  // MARK: One command

  private mutating func read(_ words: [String], at place: Place) {
    let text = ShellWords.join(words)
    if let refusal = refusal(words) {
      return log.leftOut(place, "`\(text.short)` of `\(node.original)`: \(refusal)")
    }
    if let daemon = node.kind.daemon, daemon.isStart(words) || daemon.isHousekeeping(words) {
      return log.changed(
        place, "`\(text.short)` of `\(node.original)` is not needed: netloom starts \(daemon.rawValue)")
    }
    guard let command = NetworkCommand(words), apply(command, text, place) else {
      return keep(ShellWords.join(substituted(words, at: place)), at: place)
    }
  }

  private static let installers: Set = [
    "apk", "apt", "apt-get", "yum", "dnf", "microdnf", "pip", "pip3", "tdnf", "opkg",
  ]

  /// Why a command is not to run in a node.
  private func refusal(_ words: [String]) -> String? {
    let program = words[0].split(separator: "/").last.map(String.init) ?? words[0]
    if Self.installers.contains(program) { return "it would install programs on the machine itself" }
    if words.contains("eth0"), !node.interfaces.contains("eth0") {
      return "eth0 is the management interface, which netloom has not"
    }
    if let image, node.kind.daemon == nil {
      let tools = ["vtysh", "birdc", "birdcl", "gobgp", "bgpctl"]
      if tools.contains(program) || image.isStart(words) || image.isHousekeeping(words) {
        return "\(image.rawValue) does not run there"
      }
    }
    return nil
  }

  /// False where the topology cannot say it.
  private func apply(_ command: NetworkCommand, _ text: String, _ place: Place) -> Bool {
    switch command {
    case .addAddress(let address, let interface): return add(address, interface, place)
    case .removeAddress(let address, let interface):
      guard node.interfaces.contains(interface) else { return false }
      node.addresses[interface]?.removeAll { address == nil || $0.value == address }
      return true
    case .linkUp(let interface): return interface == "lo" || node.interfaces.contains(interface)
    case .addRoute(let to, let via):
      node.routes.append(RouteWish(to: to, via: via, place: place, command: text))
      return true
    case .removeDefaultRoute:
      node.routes.removeAll { $0.to.length == 0 }
      return true
    case .sysctl(let pairs):
      for (key, value) in pairs { node.setSysctl(key, value) }
      return true
    }
  }

  private func add(_ address: InterfaceAddress, _ interface: String, _ place: Place) -> Bool {
    let placed = PlacedAddress(value: address, place: place, fromCommand: true)
    if interface == "lo" {
      guard Int(address.length) == address.address.family.bits, address.isUsable else { return false }
      if !node.loopbacks.contains(where: { $0.value == address }) { node.loopbacks.append(placed) }
      return true
    }
    guard node.interfaces.contains(interface) else { return false }
    node.addresses[interface, default: []].append(placed)
    return true
  }

  // MARK: What stays

  private mutating func keep(_ text: String, at place: Place) {
    kept.append(KeptCommand(text: text, place: place))
  }

  /// Paths in the container become those on the machine.
  private mutating func substituted(_ words: [String], at place: Place) -> [String] {
    words.map { word in
      for bind in binds where word == bind.target || word.hasPrefix(bind.target + "/") {
        usedBinds.insert(bind.target)
        let path = bind.source + word.dropFirst(bind.target.utf8.count)
        log.changed(place, "`\(word.short)` of `\(node.original)` is `\(path)` here, the file that is bound there")
        return path
      }
      return word
    }
  }

  // MARK: cmd

  private mutating func readServer(_ item: PlacedText) {
    guard let words = words(item), !Self.onlyWaits(words) else { return }
    let text = item.text.short
    if let refusal = refusal(words) {
      return log.leftOut(item.place, "cmd `\(text)` of `\(node.original)`: \(refusal)")
    }
    if let daemon = node.kind.daemon, daemon.isStart(words) {
      return log.changed(
        item.place, "cmd `\(text)` of `\(node.original)` is not needed: netloom starts \(daemon.rawValue)")
    }
    if let script = ShellWords.script(words), script.shell == "sh" {
      node.commands.append(script.text)
    } else {
      node.commands.append(ShellWords.join(substituted(words, at: item.place)))
    }
  }

  /// What keeps a container alive and does nothing.
  private static func onlyWaits(_ words: [String]) -> Bool {
    let program = words[0].split(separator: "/").last.map(String.init) ?? ""
    if ["sh", "bash", "ash", "init", "tini", "cat"].contains(program) { return words.count == 1 }
    if program == "sleep" { return true }
    return program == "tail" && words.last == "/dev/null"
  }
}

extension String {
  /// For messages.
  var short: String {
    let line = split(whereSeparator: \.isNewline).joined(separator: " ")
    return line.count > 60 ? line.prefix(57) + "..." : line
  }
}
