internal import NetTypes

/// A command that sets up a node's network, as far as a topology file can say the same. Reads iproute2's grammar with
/// its abbreviations, busybox' `ifconfig` and `route`, and `sysctl -w`.
enum NetworkCommand: Equatable {
  case addAddress(InterfaceAddress, interface: String)
  case removeAddress(InterfaceAddress?, interface: String)
  case linkUp(interface: String)
  case addRoute(IPPrefix, via: IPAddress)
  /// There is none before the lab gives one.
  case removeDefaultRoute
  case sysctl([(key: String, value: String)])

  static func == (a: NetworkCommand, b: NetworkCommand) -> Bool { "\(a)" == "\(b)" }

  /// nil: something else, or more than the topology can say.
  init?(_ words: [String]) {
    guard let first = words.first, let program = first.split(separator: "/").last else { return nil }
    let rest = words.dropFirst()
    let command: NetworkCommand? =
      switch program {
      case "ip": Self.ip(rest)
      case "ifconfig": Self.ifconfig(Array(rest))
      case "route": Self.route(Array(rest))
      case "sysctl": Self.sysctl(rest)
      default: nil
      }
    guard let command else { return nil }
    self = command
  }

  // MARK: ip

  private static func ip(_ words: ArraySlice<String>) -> NetworkCommand? {
    var words = words
    var family: AddressFamily?
    while let option = words.first, option.hasPrefix("-") {
      switch option {
      case "-4": family = .ipv4
      case "-6": family = .ipv6
      default: return nil
      }
      words.removeFirst()
    }
    guard let object = words.popFirst() else { return nil }
    let verb = words.popFirst() ?? "show"
    // iproute2 takes any beginning of a word, and of several words the first in its table.
    switch object {
    case _ where "address".hasPrefix(object): return address(verb, words)
    case _ where "route".hasPrefix(object): return route(verb, words, family)
    case _ where "link".hasPrefix(object): return link(verb, words)
    default: return nil
    }
  }

  private static func address(_ verb: String, _ words: ArraySlice<String>) -> NetworkCommand? {
    guard let options = options(words, flags: ["nodad", "noprefixroute", "home"], first: "local") else { return nil }
    guard let interface = options["dev"] else { return nil }
    if "flush".hasPrefix(verb), options.keys.allSatisfy({ $0 == "dev" }) {
      return .removeAddress(nil, interface: interface)
    }
    let ignored: Set = ["local", "dev", "brd", "broadcast", "scope", "nodad"]
    guard ignored.isSuperset(of: options.keys), let text = options["local"], text.contains("/"),
      let address = InterfaceAddress(text), ["global", nil].contains(options["scope"])
    else { return nil }
    if "add".hasPrefix(verb) || "replace".hasPrefix(verb) { return .addAddress(address, interface: interface) }
    return "delete".hasPrefix(verb) ? .removeAddress(address, interface: interface) : nil
  }

  private static func route(_ verb: String, _ words: ArraySlice<String>, _ family: AddressFamily?) -> NetworkCommand? {
    guard let options = options(words, flags: [], first: "to"), let to = options["to"] else { return nil }
    let adds = "add".hasPrefix(verb) || "replace".hasPrefix(verb) && verb.count > 1
    if !adds {
      let deletes = "delete".hasPrefix(verb)
      return deletes && ["default", "0.0.0.0/0", "::/0"].contains(to) ? .removeDefaultRoute : nil
    }
    let allowed: Set = ["to", "via", "dev", "proto"]
    guard allowed.isSuperset(of: options.keys), let via = options["via"].flatMap({ IPAddress($0) }) else { return nil }
    let bits = via.family.bits
    let prefix: IPPrefix? =
      if to == "default" || to == "all" {
        IPPrefix(via.family == .ipv4 ? "0.0.0.0/0" : "::/0")
      } else {
        to.contains("/") ? IPPrefix(to) : IPAddress(to).flatMap { IPPrefix($0, length: bits) }
      }
    guard let prefix, prefix.family == via.family, family == nil || family == via.family else { return nil }
    return .addRoute(prefix, via: via)
  }

  private static func link(_ verb: String, _ words: ArraySlice<String>) -> NetworkCommand? {
    var words = Array(words)
    guard "set".hasPrefix(verb) else { return nil }
    if words.count == 3, words[0] == "dev" { words.removeFirst() }
    guard words.count == 2 else { return nil }
    if words[1] == "up" { return .linkUp(interface: words[0]) }
    return words[0] == "up" ? .linkUp(interface: words[1]) : nil
  }

  /// `[FIRST] key value key value flag …`; nil where it is not that.
  private static func options(_ words: ArraySlice<String>, flags: Set<String>, first: String) -> [String: String]? {
    let keys: Set = [
      "dev", "brd", "broadcast", "scope", "label", "peer", "via", "metric", "src", "table", "proto", "mtu", "to",
      "local", "valid_lft", "preferred_lft", "vrf", "type", "encap", "weight", "onlink", "nexthop", "preference",
    ]
    var options: [String: String] = [:]
    var words = words
    while let word = words.popFirst() {
      if flags.contains(word) {
        options[word] = ""
      } else if keys.contains(word) {
        guard let value = words.popFirst(), options.updateValue(value, forKey: word) == nil else { return nil }
      } else if options[first] == nil {
        options[first] = word
      } else {
        return nil
      }
    }
    return options
  }

  // MARK: Others

  /// `ifconfig IF ADDRESS/LENGTH [up]`, `ifconfig IF ADDRESS netmask MASK [up]`, `ifconfig IF up`
  private static func ifconfig(_ words: [String]) -> NetworkCommand? {
    guard words.count >= 2 else { return nil }
    var rest = words[1...]
    if rest.last == "up" { rest.removeLast() }
    guard let first = rest.popFirst() else { return .linkUp(interface: words[0]) }
    if first.contains("/"), rest.isEmpty, let address = InterfaceAddress(first) {
      return .addAddress(address, interface: words[0])
    }
    guard rest.count == 2, rest.first == "netmask", let mask = rest.last.flatMap({ IPv4Address($0) }),
      let length = prefixLength(mask), let address = InterfaceAddress("\(first)/\(length)")
    else { return nil }
    return .addAddress(address, interface: words[0])
  }

  private static func prefixLength(_ mask: IPv4Address) -> Int? {
    let length = (~mask.rawValue).leadingZeroBitCount
    return length == mask.rawValue.nonzeroBitCount ? length : nil
  }

  /// `route add default gw GATEWAY [dev IF]`, `route add -net NET/LENGTH gw GATEWAY`
  private static func route(_ words: [String]) -> NetworkCommand? {
    guard words.first == "add" else {
      return words.count >= 2 && words[0] == "del" && words[1] == "default" ? .removeDefaultRoute : nil
    }
    var rest = words.dropFirst().filter { $0 != "-net" }
    if rest.count == 5, rest[3] == "dev" { rest.removeLast(2) }
    guard rest.count == 3, rest[1] == "gw", let via = IPAddress(rest[2]),
      let to = rest[0] == "default" ? IPPrefix("0.0.0.0/0") : IPPrefix(rest[0]), to.family == via.family
    else { return nil }
    return .addRoute(to, via: via)
  }

  /// `sysctl [-w] KEY=VALUE…`
  private static func sysctl(_ words: ArraySlice<String>) -> NetworkCommand? {
    var pairs: [(key: String, value: String)] = []
    for word in words where !["-w", "-q", "-qw", "-wq"].contains(word) {
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2, Sysctls.belongsToNode(parts[0]), !parts[1].isEmpty else { return nil }
      pairs.append((parts[0], parts[1]))
    }
    return pairs.isEmpty ? nil : .sysctl(pairs)
  }
}
