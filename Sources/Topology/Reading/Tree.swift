/// A YAML document as it was written: every scalar is its text, every value knows its place. What a scalar means is
/// decided by the tables of keys, never by how it looks: `no` is a name, `64512.10` an AS number.
struct Tree {
  enum Content {
    /// `plain`: written without quotes. An absent value (`key:`) is plain and empty.
    case scalar(String, plain: Bool)
    case list([Tree])
    case mapping([Entry])
  }

  struct Entry {
    var key: String
    var keyPlace: Place
    var value: Tree
  }

  var place: Place
  var content: Content

  /// `key:` and nothing behind it.
  var isAbsent: Bool {
    if case .scalar("", plain: true) = content { true } else { false }
  }

  var text: String? {
    if case .scalar(let text, _) = content { text } else { nil }
  }

  var list: [Tree] {
    if case .list(let items) = content { items } else { [] }
  }

  var entries: [Entry] {
    if case .mapping(let entries) = content { entries } else { [] }
  }

  var isList: Bool {
    if case .list = content { true } else { false }
  }

  var isMapping: Bool {
    if case .mapping = content { true } else { false }
  }

  /// By scanning: records have few keys. Lists of nodes are walked, never looked up.
  subscript(key: String) -> Tree? { entry(key)?.value }

  func entry(_ key: String) -> Entry? { entries.first { $0.key == key } }

  /// What it is, for messages.
  var kind: String {
    switch content {
    case .scalar("", plain: true): "nothing"
    case .scalar(let text, _): "`\(text.prefix(40))`"
    case .list: "a list"
    case .mapping: "a mapping"
    }
  }

  /// This mapping's keys over those of `base`, mappings within mappings likewise; anything else replaces.
  func merged(over base: Tree) -> Tree {
    guard case .mapping(let own) = content, case .mapping(let inherited) = base.content, !inherited.isEmpty else {
      return self
    }
    var result = own
    for entry in inherited {
      if let index = result.firstIndex(where: { $0.key == entry.key }) {
        result[index].value = result[index].value.merged(over: entry.value)
      } else {
        result.append(entry)
      }
    }
    return Tree(place: place, content: .mapping(result))
  }
}
