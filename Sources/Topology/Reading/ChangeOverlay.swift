/// Lays a CHANGE over the tree of a topology file: a key that is given replaces that key's whole value, `null` takes it
/// away, everything else stays. Values keep the places of the file they were written in.
struct ChangeOverlay {
  let reporter: Reporter

  /// `change` has been seen by `ShapeChecker`; what it complained of is passed over here.
  static func lay(_ change: Tree, over base: Tree, _ reporter: Reporter) -> Tree {
    let overlay = ChangeOverlay(reporter: reporter)
    var result = base
    if let nodes = change["topology"]?["nodes"], nodes.isMapping {
      result = result.replacing("topology") { topology in
        topology.replacing("nodes") { overlay.nodes(nodes, over: $0, defaults: base["defaults"]) }
      }
    }
    if let policies = change["policies"], policies.isMapping {
      result = result.replacing("policies") { overlay.entries(policies, over: $0, "policy") }
    }
    if let entry = change.entry("mesh"), !entry.value.entries.isEmpty {
      if base["mesh"]?.isMapping == true {
        result = result.replacing("mesh") { overlay.mesh(entry.value, over: $0) }
      } else {
        reporter.error(entry.keyPlace, "`mesh` of a lab that has none; expected one in the topology file")
      }
    }
    // What is written but is no key of a CHANGE has its own message.
    let entries = change["topology"]?.entries.flatMap(\.value.entries) ?? []
    if entries.isEmpty, change["policies"]?.entries.isEmpty ?? true, change["mesh"]?.entries.isEmpty ?? true,
      !reporter.failed
    {
      reporter.error(change.place, "this CHANGE changes nothing; expected keys of nodes, policies, or keys of `mesh`")
    }
    return result
  }

  private func nodes(_ change: Tree, over base: Tree, defaults: Tree?) -> Tree {
    var entries = base.entries
    let indexes = Dictionary(entries.enumerated().map { ($1.key, $0) }, uniquingKeysWith: { first, _ in first })
    for entry in change.entries {
      guard let index = indexes[entry.key] else {
        let hint = reporter.suggestion(for: entry.key, from: entries.lazy.map(\.key))
        reporter.error(
          entry.keyPlace,
          "unknown node `\(entry.key)`\(hint.isEmpty ? "; expected a node of the lab: a CHANGE adds none" : hint)")
        continue
      }
      let own = entries[index].value
      for key in entry.value.entries where key.value.isNull && own[key.key] == nil && defaults?[key.key] != nil {
        reporter.error(
          key.keyPlace,
          "`\(key.key)` of `\(entry.key)` comes from `defaults`, which a CHANGE leaves alone; expected a value, such as an "
            + "empty list")
      }
      let known = Tree(
        place: entry.value.place,
        content: .mapping(entry.value.entries.filter { ChangeKeys.nodeKeys.contains($0.key) }))
      entries[index].value = self.entries(known, over: own, nil)
    }
    return Tree(place: base.place, content: .mapping(entries))
  }

  private func mesh(_ change: Tree, over base: Tree) -> Tree {
    let keys = change.entries.filter { ChangeKeys.meshKeys.contains($0.key) }
    let result = entries(Tree(place: change.place, content: .mapping(keys)), over: base, nil)
    guard let services = change["services"], services.isMapping else { return result }
    return result.replacing("services") { known in
      var entries = known.entries
      for entry in services.entries {
        guard let index = entries.firstIndex(where: { $0.key == entry.key }) else {
          let hint = reporter.suggestion(for: entry.key, from: entries.lazy.map(\.key))
          reporter.error(
            entry.keyPlace,
            "unknown service `\(entry.key)`\(hint.isEmpty ? "; expected a service of the lab: a CHANGE adds none" : hint)"
          )
          continue
        }
        let own = entry.value.entries.filter { ChangeKeys.serviceKeys.contains($0.key) }
        entries[index].value = self.entries(
          Tree(place: entry.value.place, content: .mapping(own)), over: entries[index].value, nil)
      }
      return Tree(place: known.place, content: .mapping(entries))
    }
  }

  /// `noun`: taking away what is not there is a mistake.
  private func entries(_ change: Tree, over base: Tree, _ noun: String?) -> Tree {
    var entries = base.entries
    for entry in change.entries {
      let index = entries.firstIndex { $0.key == entry.key }
      if entry.value.isNull {
        if let index {
          entries.remove(at: index)
        } else if let noun {
          let hint = reporter.suggestion(for: entry.key, from: base.entries.lazy.map(\.key))
          reporter.error(entry.keyPlace, "no \(noun) `\(entry.key)` to take away\(hint)")
        }
      } else if let index {
        entries[index] = entry
      } else {
        entries.append(entry)
      }
    }
    return Tree(place: base.place, content: .mapping(entries))
  }
}

extension Tree {
  /// What a YAML reader takes for null.
  var isNull: Bool {
    guard case .scalar(let text, plain: true) = content else { return false }
    return ["", "~", "null", "Null", "NULL"].contains(text)
  }

  /// This mapping with another value for a key; one that is not there is made from an empty mapping.
  fileprivate func replacing(_ key: String, _ change: (Tree) -> Tree) -> Tree {
    var entries = entries
    if let index = entries.firstIndex(where: { $0.key == key }) {
      entries[index].value = change(entries[index].value)
    } else {
      entries.append(Entry(key: key, keyPlace: place, value: change(Tree(place: place, content: .mapping([])))))
    }
    return Tree(place: place, content: .mapping(entries))
  }

  func without(_ key: String) -> Tree {
    Tree(place: place, content: .mapping(entries.filter { $0.key != key }))
  }

  /// As JSON, which is YAML too: every scalar as text, so that reading it gives the same tree but for places.
  var json: JSONText {
    switch content {
    case .scalar(let text, _): isNull ? .null : .string(text)
    case .list(let items): .array(items.map(\.json))
    case .mapping(let entries): .object(entries.map { ($0.key, $0.value.json) })
    }
  }
}
