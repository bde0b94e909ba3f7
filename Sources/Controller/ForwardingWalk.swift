internal import NetTypes

/// All ways to one destination over the kernels' tables: who passes to whom, where ways end, and where they come back.
struct ForwardingWalk {
  let picture: ForwardingPicture
  let destination: IPAddress
  private var steps: [String: ForwardingPicture.Step] = [:]

  init(_ picture: ForwardingPicture, to destination: IPAddress) {
    self.picture = picture
    self.destination = destination
  }

  /// A way that does not end: the nodes from `start` to the one that is met again, which stands last too. Nil: every
  /// way from there ends.
  mutating func loop(from start: String, known: inout Set<String>) -> [String]? {
    // Depth first without recursion: a chain may be long.
    var way: [(node: String, rest: [String])] = [(start, branches(of: start, first: true))]
    var onWay: Set<String> = [start]
    while let last = way.indices.last {
      guard let next = way[last].rest.popLast() else {
        let done = way.removeLast().node
        onWay.remove(done)
        known.insert(done)
        continue
      }
      if onWay.contains(next) { return way.map(\.node) + [next] }
      if known.contains(next) { continue }
      onWay.insert(next)
      way.append((next, branches(of: next, first: false)))
    }
    return nil
  }

  /// Where the ways from `start` end other than at the destination, each with one way there; a loop ends nowhere.
  mutating func failures(from start: String) -> [(step: ForwardingPicture.Step, way: [String])] {
    var failures: [(ForwardingPicture.Step, [String])] = []
    var cameFrom: [String: String?] = [start: nil]
    var queue = [start]
    while let node = queue.popLast() {
      switch step(at: node, first: node == start) {
      case .next(let next):
        for hop in next.sorted() where cameFrom[hop] == nil {
          cameFrom[hop] = node
          queue.append(hop)
        }
      case .delivered, .originator: break
      case let step: failures.append((step, way(to: node, cameFrom)))
      }
    }
    return failures
  }

  /// Some way from `start` arrives.
  mutating func arrives(from start: String) -> Bool {
    var seen: Set<String> = [start]
    var queue = [start]
    while let node = queue.popLast() {
      switch step(at: node, first: node == start) {
      case .delivered, .originator: return true
      case .next(let next): for hop in next where seen.insert(hop).inserted { queue.append(hop) }
      default: break
      }
    }
    return false
  }

  private mutating func branches(of node: String, first: Bool) -> [String] {
    if case .next(let next) = step(at: node, first: first) { next.sorted() } else { [] }
  }

  /// The start sends a packet of its own, everybody else forwards.
  private mutating func step(at node: String, first: Bool) -> ForwardingPicture.Step {
    if first { return picture.step(at: node, to: destination) }
    if let known = steps[node] { return known }
    let step = picture.arrival(at: node, to: destination)
    steps[node] = step
    return step
  }

  private func way(to node: String, _ cameFrom: [String: String?]) -> [String] {
    var way = [node]
    while let last = way.last, let before = cameFrom[last] ?? nil { way.append(before) }
    return way.reversed()
  }
}
