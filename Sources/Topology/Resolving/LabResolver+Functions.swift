import NetTypes

extension LabResolver {
  /// What nodes do with packets beside routing them. After addresses and routes: rules name both.
  func readFunctions() {
    for index in nodes.indices {
      let tree = nodes[index].merged
      guard let kind = nodes[index].kind, tree.entries.contains(where: { Self.functionKeys.contains($0.key) }) else {
        continue
      }
      var functions = PacketFunctions()
      // A key that means nothing on this kind has been reported, and is none of its functions.
      func value(_ key: String) -> Tree? {
        NodeKeys.kindsOfKey[key].map { $0.contains(kind) } ?? true ? tree[key] : nil
      }
      functions.nat = NATReader(lab: self, node: index).read(value("nat"))
      functions.filter = FilterReader(lab: self, node: index).read(value("filter"))
      functions.qos = QoSReader(lab: self, node: index).read(value("qos"))
      functions.paths = PathReader(lab: self, node: index).read(value("path"))
      functions.flowSpecs = FlowSpecReader(lab: self, node: index).read(value("flowspec"))
      functions.published = published(value("publish"))
      checkCount(functions, value)
      nodes[index].functions = functions
    }
    if PathCounts(lab: self).check() { checkPathLoops() }
    checkPublished()
  }

  private static let functionKeys = Set(PacketKeys.keys.map(\.name))

  /// Each list of a node holds at most so many rules: a change of more would take a node longer than it has to answer.
  private static let mostRules = 20_000

  private func checkCount(_ functions: PacketFunctions, _ value: (String) -> Tree?) {
    let qos = functions.qos
    let counts = [
      ("nat", functions.nat.count, "rules"), ("filter", functions.filter.count, "rules"),
      ("flowspec", functions.flowSpecs.count, "rules, one of each family"),
      ("qos", qos.reduce(0) { $0 + $1.policers.count }, "policers"),
      ("qos", qos.reduce(0) { $0 + $1.markings.count }, "rules of `mark`"),
    ]
    for (key, count, what) in counts where count > Self.mostRules {
      guard let tree = value(key) else { continue }
      reporter.error(tree.place, "`\(key)` has \(count) \(what); expected at most \(Self.mostRules) on one node")
    }
  }

  private func published(_ tree: Tree?) -> [PublishedPort] {
    (tree?.list ?? []).compactMap { item in
      item.text.flatMap(parsePublished).map { PublishedPort(outer: $0.outer, inner: $0.inner, place: item.place) }
    }
  }

  /// The machine's loopback is one for the whole lab.
  private func checkPublished() {
    var owners: [UInt16: (node: String, place: Place)] = [:]
    for node in nodes {
      for port in node.functions.published {
        guard let first = owners[port.outer] else {
          owners[port.outer] = (node.name, port.place)
          continue
        }
        reporter.error(
          port.place,
          "publish: port \(port.outer) of the machine already leads to `\(first.node)` (line \(first.place.line)); "
            + "expected a port of its own")
      }
    }
  }
}
