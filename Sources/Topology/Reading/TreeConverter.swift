import Yams

/// Composed nodes → `Tree`, with aliases expanded under a limit, merge keys (`<<`) applied, and refusals for what a
/// topology has no use for: tags, and keys that are not scalars.
struct TreeConverter {
  private let file: SourceFile
  private let masked: Bool
  private let reporter: Reporter
  private var values = 0
  private var stopped = false
  /// The place in the file itself that led to the current node: nodes reached through an alias carry the place of
  /// the anchor, which stands before.
  private var written: Place

  /// `masked`: the reader has renamed duplicate keys, which are passed over here.
  init(file: SourceFile, masked: Bool, reporter: Reporter) {
    self.file = file
    self.masked = masked
    self.reporter = reporter
    written = Place(file: file.name, line: 1, column: 1)
  }

  mutating func convert(_ root: Node) -> Tree? {
    let tree = convert(root, depth: 0)
    return stopped ? nil : tree
  }

  private mutating func convert(_ node: Node, depth: Int) -> Tree {
    let place = place(node.mark)
    if depth < 3 { written = max(written, place) }
    values += 1
    if values > max(DocumentReader.expansionLimit, file.text.utf8.count) {
      stop("aliases expand to more than \(DocumentReader.expansionLimit) values")
    }
    if depth > DocumentReader.depthLimit {
      stop("nested too deeply; expected at most \(DocumentReader.depthLimit) levels")
    }
    guard !stopped else { return Tree(place: place, content: .scalar("", plain: true)) }
    switch node {
    case .scalar(let scalar):
      checkTag(scalar.tag, place)
      let plain = scalar.style == .plain || scalar.style == .any
      return Tree(place: place, content: .scalar(scalar.string, plain: plain))
    case .sequence(let sequence):
      checkTag(sequence.tag, place)
      return Tree(place: place, content: .list(sequence.map { convert($0, depth: depth + 1) }))
    case .mapping(let mapping):
      checkTag(mapping.tag, place)
      return Tree(place: place, content: .mapping(entries(mapping, depth: depth)))
    case .alias:
      return Tree(place: place, content: .scalar("", plain: true))
    }
  }

  private mutating func entries(_ mapping: Node.Mapping, depth: Int) -> [Tree.Entry] {
    var entries: [Tree.Entry] = []
    var inherited: [Tree] = []
    for (key, value) in mapping {
      let keyPlace = place(key.mark)
      guard case .scalar(let scalar) = key else {
        reporter.error(keyPlace, "a collection as a key; expected a name")
        continue
      }
      if depth < 3 { written = max(written, keyPlace) }
      let tree = convert(value, depth: depth + 1)
      if stopped { return [] }
      if scalar.string == "<<", scalar.style == .plain {
        inherited += tree.isMapping ? [tree] : tree.list
      } else if !(masked && DocumentReader.isMasked(scalar.string)) {
        entries.append(Tree.Entry(key: scalar.string, keyPlace: keyPlace, value: tree))
      }
    }
    guard !inherited.isEmpty else { return entries }
    var known = Set(entries.map(\.key))
    for tree in inherited {
      if !tree.isMapping { reporter.error(tree.place, "`<<` merges mappings; this is \(tree.kind)") }
      for entry in tree.entries where known.insert(entry.key).inserted { entries.append(entry) }
    }
    return entries
  }

  private mutating func stop(_ message: String) {
    if !stopped { reporter.error(written, message) }
    stopped = true
  }

  private func checkTag(_ tag: Tag, _ place: Place) {
    let name = tag.rawValue
    if name.isEmpty || name == "!" || name == "tag:yaml.org,2002:str" { return }
    reporter.error(place, "tag `\(name)`; a topology has no tags, write the plain value")
  }

  private func place(_ mark: Mark?) -> Place {
    Place(file: file.name, line: mark?.line ?? 1, column: mark?.column ?? 1)
  }
}
