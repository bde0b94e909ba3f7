internal import NetTypes
internal import Topology

/// Containerlab's names → netloom's: at most 32 lower-case letters, digits and inner hyphens.
struct NameBook {
  private static let limit = 32
  private var taken: Set<String> = []

  /// Names that need no change are given to whom they belong, whatever the order of the file.
  init(reserving names: some Sequence<String>) {
    for name in names where Self.normal(name) == name { taken.insert(name) }
  }

  /// A name that nobody has yet.
  mutating func name(for original: String) -> String {
    let wanted = Self.normal(original)
    if wanted == original { return wanted }
    var name = wanted
    var number = 1
    while taken.contains(name) {
      number += 1
      let ending = "-\(number)"
      name = Self.trimmed(String(wanted.prefix(Self.limit - ending.utf8.count))) + ending
    }
    taken.insert(name)
    return name
  }

  static func normal(_ original: String) -> String {
    let characters = original.unicodeScalars.map { scalar -> Character in
      switch scalar {
      case "a"..."z", "0"..."9": Character(scalar)
      case "A"..."Z": Character(scalar.properties.lowercaseMapping)
      default: "-"
      }
    }
    let name = trimmed(String(String(characters).prefix(limit)))
    if name.isEmpty { return "node" }
    return name == "localhost" ? "localhost-node" : name
  }

  private static func trimmed(_ text: String) -> String {
    var text = Substring(text)
    while text.first == "-" { text.removeFirst() }
    while text.last == "-" { text.removeLast() }
    return String(text)
  }
}
