/// Which CHANGEs over a topology file still say something: of each key of a node, each policy, and each key of the mesh
/// and of its services, the last one that writes it. The others can be left out, and the lab stays the same.
struct LayerUse {
  private enum Item: Hashable {
    case node(String, key: String)
    case policy(String)
    case mesh(key: String)
    case service(String, key: String)
  }

  private struct Writing {
    var layer: Int
    var takesAway: Bool
  }

  private let base: Set<Item>
  private var writings: [Item: [Writing]] = [:]

  /// - Parameter changes: whole and without mistakes, in order.
  init(over base: Tree, _ changes: [Tree]) {
    self.base = Set(Self.items(of: base).map(\.item))
    for (layer, change) in changes.enumerated() {
      for (item, value) in Self.items(of: change) {
        writings[item, default: []].append(Writing(layer: layer, takesAway: value.isNull))
      }
    }
  }

  private static func items(of tree: Tree) -> [(item: Item, value: Tree)] {
    let nodes = tree["topology"]?["nodes"]?.entries ?? []
    let mesh = (tree["mesh"]?.entries ?? []).filter { $0.key != "services" }
    let services = tree["mesh"]?["services"]?.entries ?? []
    return nodes.flatMap { node in node.value.entries.map { (Item.node(node.key, key: $0.key), $0.value) } }
      + (tree["policies"]?.entries ?? []).map { (Item.policy($0.key), $0.value) }
      + mesh.map { (Item.mesh(key: $0.key), $0.value) }
      + services.flatMap { service in
        service.value.entries.map { (Item.service(service.key, key: $0.key), $0.value) }
      }
  }

  /// Indexes of the changes that are needed, rising.
  var needed: [Int] {
    var needed: Set<Int> = []
    for (item, all) in writings {
      guard let last = all.last, !last.takesAway || base.contains(item) else { continue }
      needed.insert(last.layer)
    }
    // One needed layer may write what another, not yet needed, made possible or made good.
    var count = 0
    while count < needed.count {
      count = needed.count
      for (item, all) in writings { complete(&needed, item, all) }
    }
    return needed.sorted()
  }

  private func complete(_ needed: inout Set<Int>, _ item: Item, _ all: [Writing]) {
    var isThere = base.contains(item)
    for (place, writing) in all.enumerated() where needed.contains(writing.layer) {
      // What is taken away must be there.
      if writing.takesAway, !isThere, let before = all[..<place].last, !before.takesAway { needed.insert(before.layer) }
      isThere = !writing.takesAway
    }
    if isThere, let last = all.last, last.takesAway { needed.insert(last.layer) }
  }
}
