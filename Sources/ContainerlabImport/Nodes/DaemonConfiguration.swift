internal import NetTypes
internal import Topology

/// What a daemon's own file says of the node's network: read, never rewritten. The topology needs the addresses, because
/// the far ends of links and every trace are found by them.
struct DaemonConfiguration {
  struct Address {
    var interface: String
    var value: InterfaceAddress
    var place: Place
  }

  var addresses: [Address] = []
  /// Of the only AS that is configured.
  var asn: ASNumber?
  /// Protocols that netloom starts no program for, with their place.
  var otherProtocols: [(name: String, place: Place)] = []

  init(_ program: DaemonProgram, text: String, file: String) {
    var systems: Set<ASNumber> = []
    switch program {
    case .frr: readFRR(text, file, &systems)
    case .bird: Self.words(text).forEachWindow { Self.readBIRD($0, &systems) }
    case .openbgpd: Self.readFirst("AS", text, &systems)
    case .gobgp: Self.readFirst("as", text, &systems)
    }
    asn = systems.count == 1 ? systems.first : nil
  }

  // MARK: FRR

  /// `interface NAME` opens a block, whatever else stands at the beginning of a line closes it.
  private mutating func readFRR(_ text: String, _ file: String, _ systems: inout Set<ASNumber>) {
    var interface: String?
    for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
      guard let first = words.first, !first.hasPrefix("!"), !first.hasPrefix("#") else { continue }
      let column = line.prefix { $0.isWhitespace }.count + 1
      let place = Place(file: file, line: number + 1, column: column)
      switch first {
      case "interface" where words.count >= 2: interface = words[1]
      case "ip" where words.count >= 3 && words[1] == "address", "ipv6" where words.count >= 3 && words[1] == "address":
        guard let interface, let value = InterfaceAddress(words[2]) else { continue }
        addresses.append(Address(interface: interface, value: value, place: place))
      case "router" where words.count >= 2:
        interface = nil
        readRouter(words, place, &systems)
      case "exit", "end", "vrf", "line", "route-map": interface = nil
      default: break
      }
    }
  }

  private mutating func readRouter(_ words: [String], _ place: Place, _ systems: inout Set<ASNumber>) {
    if words[1] != "bgp" {
      otherProtocols.append((words[1], place))
    } else if words.count == 3, let asn = ASNumber(text: words[2]), !asn.isUnusable {
      systems.insert(asn)
    }
  }

  /// `ospfd=yes` in /etc/frr/daemons, of programs that netloom does not start.
  static func otherPrograms(inDaemons text: String, file: String) -> [(name: String, place: Place)] {
    let started: Set = ["zebra", "staticd", "bgpd", "mgmtd", "watchfrr"]
    var result: [(name: String, place: Place)] = []
    for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let parts = line.split(separator: "=", maxSplits: 1).map { $0.filter { !$0.isWhitespace } }
      guard parts.count == 2, parts[0].hasSuffix("d"), parts[1].lowercased() == "yes" || parts[1] == "1",
        !started.contains(parts[0]), parts[0].allSatisfy({ $0.isLetter || $0.isNumber })
      else { continue }
      result.append((parts[0], Place(file: file, line: number + 1, column: 1)))
    }
    return result
  }

  // MARK: The others

  /// `local [ADDRESS] [port N] as N`
  private static func readBIRD(_ window: ArraySlice<String>, _ systems: inout Set<ASNumber>) {
    guard window.first == "local" else { return }
    let statement = window.prefix { $0 != ";" }
    guard let index = statement.firstIndex(of: "as"), index + 1 < statement.endIndex,
      let asn = ASNumber(text: statement[index + 1]), !asn.isUnusable
    else { return }
    systems.insert(asn)
  }

  /// `AS 64500` (OpenBGPD) or `as = 64500` (GoBGP), which stand once.
  private static func readFirst(_ key: String, _ text: String, _ systems: inout Set<ASNumber>) {
    for line in text.split(whereSeparator: \.isNewline) {
      let words = line.split { $0.isWhitespace || $0 == "=" || $0 == "\"" }
      guard words.count >= 2, words[0] == key, let asn = ASNumber(text: words[1]), !asn.isUnusable else { continue }
      systems.insert(asn)
      return
    }
  }

  /// Words of BIRD's language without comments; `;`, `{` and `}` are words.
  private static func words(_ text: String) -> [String] {
    var words: [String] = []
    for line in text.split(whereSeparator: \.isNewline) {
      var word = ""
      for character in line.prefix(while: { $0 != "#" }) {
        if character.isWhitespace || ";{}".contains(character) {
          if !word.isEmpty { words.append(word) }
          word = ""
          if !character.isWhitespace { words.append(String(character)) }
        } else {
          word.append(character)
        }
      }
      if !word.isEmpty { words.append(word) }
    }
    return words
  }
}

extension ASNumber {
  /// Not to stand in a topology: AS 0 (RFC 7607), AS_TRANS (RFC 6793), 65535 and the last (RFC 7300).
  fileprivate var isUnusable: Bool { rawValue == 0 || rawValue == 23456 || rawValue == 65535 || rawValue == .max }
}

extension Array where Element == String {
  /// Eight words from each place on.
  fileprivate func forEachWindow(_ body: (ArraySlice<String>) -> Void) {
    for index in indices { body(self[index..<Swift.min(index + 8, count)]) }
  }
}
