internal import Topology

/// A node with what it inherits, in containerlab's order: `defaults`, then its kind, its group, and itself. Maps are
/// merged, `exec` is joined from all four, of two binds with one target the later stays, anything else is replaced.
struct Definition {
  private(set) var kind: String?
  private(set) var kindPlace: Place
  private var values: [String: Value.Entry] = [:]

  private static let maps: Set = ["env", "labels", "sysctls"]

  subscript(key: String) -> Value? { values[key]?.value }

  /// In the order of their names.
  var entries: [Value.Entry] { values.values.sorted { $0.key < $1.key } }

  init(_ node: Value.Entry, in topology: Layers, _ log: ImportLog) {
    let own = log.mapping(node.value, "node `\(node.key)`")
    func word(_ key: String, in entries: [Value.Entry]) -> Value? {
      entries.first { $0.key == key && $0.value.text != nil }?.value
    }
    var group = word("group", in: own)?.text
    let kindValue =
      word("kind", in: own) ?? group.flatMap { word("kind", in: topology.groups[$0] ?? []) }
      ?? word("kind", in: topology.defaults)
    kind = kindValue?.text
    kindPlace = kindValue?.place ?? node.place
    let ofKind = kind.flatMap { topology.kinds[$0] } ?? []
    group = group ?? word("group", in: ofKind)?.text ?? word("group", in: topology.defaults)?.text
    for layer in [topology.defaults, ofKind, group.flatMap { topology.groups[$0] } ?? [], own] {
      for entry in layer where !entry.value.isAbsent { lay(entry) }
    }
  }

  private mutating func lay(_ entry: Value.Entry) {
    var entry = entry
    if let below = values[entry.key]?.value { entry.value = Self.lay(entry.value, over: below, entry.key) }
    values[entry.key] = entry
  }

  private static func lay(_ value: Value, over below: Value, _ key: String) -> Value {
    var value = value
    if maps.contains(key), let upper = value.entries, let lower = below.entries {
      let written = Set(upper.map(\.key))
      value.content = .mapping(lower.filter { !written.contains($0.key) } + upper)
    } else if key == "exec", let upper = value.list, let lower = below.list {
      value.content = .list(lower + upper)
    } else if key == "binds", let upper = value.list, let lower = below.list {
      let written = Set(upper.compactMap { $0.text.map { Bind.target(of: $0) } })
      value.content = .list(
        lower.filter { item in !written.contains(item.text.map { Bind.target(of: $0) } ?? "") } + upper)
    }
    return value
  }

  /// What nodes inherit from.
  struct Layers {
    var defaults: [Value.Entry]
    var kinds: [String: [Value.Entry]]
    var groups: [String: [Value.Entry]]

    init(_ topology: Value?, _ log: ImportLog) {
      func named(_ key: String) -> [String: [Value.Entry]] {
        Dictionary(
          log.mapping(topology?[key], "`\(key)`").map { ($0.key, log.mapping($0.value, "`\(key).\($0.key)`")) },
          uniquingKeysWith: { first, _ in first })
      }
      defaults = log.mapping(topology?["defaults"], "`defaults`")
      kinds = named("kinds")
      groups = named("groups")
    }
  }
}

/// `SOURCE:TARGET[:OPTIONS]`
struct Bind {
  var source: String
  var target: String
  var place: Place

  init?(_ text: PlacedText) {
    let parts = text.text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard (2...3).contains(parts.count), !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
    source = parts[0]
    target = parts[1]
    place = text.place
  }

  static func target(of text: String) -> String {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    return String(parts.count > 1 ? parts[1] : parts[0])
  }
}
