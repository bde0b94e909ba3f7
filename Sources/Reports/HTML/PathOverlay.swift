internal import NorthboundAPI
internal import Topology

/// Draws the paths of traced flows over a lab's drawing. A line keeps to the right of its direction of travel, so that the
/// way there and the way back stand side by side where they use the same link.
struct PathOverlay {
  /// A link, in the direction from one of its ends to the other.
  struct Leg: Equatable {
    var link: Int
    var from: LinkSide
  }

  let lab: ResolvedLab
  let placed: PlacedTopology
  private let ports: [String: [Port]]
  private let switches: Set<String>

  /// An interface of a node, and what is at the other end of its link.
  private struct Port {
    var interface: String
    var leg: Leg
    var far: LinkEnd
  }

  init(lab: ResolvedLab, placed: PlacedTopology) {
    self.lab = lab
    self.placed = placed
    switches = Set(lab.nodes.filter { $0.kind == .switch }.map(\.name))
    ports = lab.links.enumerated().reduce(into: [:]) { ports, entry in
      let (index, link) = entry
      ports[link.a.node, default: []].append(
        Port(interface: link.a.interface, leg: Leg(link: index, from: .a), far: link.b))
      ports[link.b.node, default: []].append(
        Port(interface: link.b.interface, leg: Leg(link: index, from: .b), far: link.a))
    }
  }

  func markup(_ trace: Trace) -> Markup {
    [
      direction(trace.forward, "forward", "the way there"), direction(trace.return, "return", "the way back"),
      drops(trace.forward), drops(trace.return),
    ].joined()
  }

  private func direction(_ path: TracedPath, _ style: Markup, _ name: String) -> Markup {
    let main = legs(path.path, path.hops)
    let others = path.paths.filter { $0.path != path.path }.flatMap { legs($0.path, []) }
    let rare = others.reduce(into: [Leg]()) { if !main.contains($1), !$0.contains($1) { $0.append($1) } }
    let nodes = path.path.compactMap { name in lab.nodes.firstIndex { $0.name == name } }
    return
      (rare.map { line($0, "path \(style) rare") } + main.map { line($0, "path \(style)") }
      + [nodes.first, nodes.last].compactMap { $0 }.prefix(path.path.isEmpty ? 0 : 2).map {
        halo(placed.nodes[$0], style)
      })
      .joined()
  }

  /// The ends of a flow are framed.
  private func halo(_ point: Point, _ style: Markup) -> Markup {
    let grow = style.html == "forward" ? 4.0 : 8.0
    return """
      <rect class="halo \(style)" x="\(px: point.x - 66 - grow)" y="\(px: point.y - 22 - grow)" \
      width="\(px: 132 + 2 * grow)" height="\(px: 44 + 2 * grow)" rx="14"/>
      """
  }

  private func line(_ leg: Leg, _ style: Markup) -> Markup {
    let line = placed.links[leg.link]
    let (start, end) = leg.from == .a ? (line.a, line.b) : (line.b, line.a)
    let (dx, dy) = (end.x - start.x, end.y - start.y)
    let length = max((dx * dx + dy * dy).squareRoot(), 1)
    let (ox, oy) = (-dy / length * 5, dx / length * 5)
    return """
      <path class="\(style)" d="M\(px: start.x + ox) \(px: start.y + oy)L\(px: end.x + ox) \(px: end.y + oy)"/>
      """
  }

  /// A cross where packets ended: on the link where they were sent and never arrived, else where they entered the node.
  private func drops(_ path: TracedPath) -> Markup {
    path.drops.compactMap { drop in
      guard let port = ports[drop.node]?.first(where: { $0.interface == drop.interface }) else { return nil }
      let line = placed.links[port.leg.link]
      let (near, far) = port.leg.from == .a ? (line.a, line.b) : (line.b, line.a)
      let share = drop.sent ? 0.5 : 0.1
      let (x, y) = (near.x + (far.x - near.x) * share, near.y + (far.y - near.y) * share)
      return """
        <g class="drop"><circle cx="\(px: x)" cy="\(px: y)" r="9"/>\
        <path d="M\(px: x - 4) \(px: y - 4)l8 8m0 -8l-8 8"/><title>\(drop.sentence)</title></g>
        """
    }.joined()
  }

  /// The links of a path. Switches are not hops: links between two hops are looked for through switches alone.
  func legs(_ path: [String], _ hops: [TracedHop]) -> [Leg] {
    path.indices.dropLast().flatMap { index -> [Leg] in
      let (here, next) = (hop(index, path, hops), hop(index + 1, path, hops))
      return way(from: path[index], out: here?.out, to: path[index + 1], in: next?.in)
        ?? way(from: path[index], out: nil, to: path[index + 1], in: nil) ?? []
    }
  }

  private func hop(_ index: Int, _ path: [String], _ hops: [TracedHop]) -> TracedHop? {
    if hops.count == path.count, hops[index].node == path[index] { return hops[index] }
    return hops.first { $0.node == path[index] }
  }

  /// Breadth first: the fewest switches.
  private func way(from start: String, out: String?, to goal: String, in last: String?) -> [Leg]? {
    var ways: [(node: String, legs: [Leg])] = [(start, [])]
    var seen: Set<String> = [start]
    while !ways.isEmpty {
      var longer: [(node: String, legs: [Leg])] = []
      for (node, legs) in ways {
        for port in ports[node] ?? [] {
          if legs.isEmpty, let out, port.interface != out { continue }
          if port.far.node == goal, last == nil || port.far.interface == last { return legs + [port.leg] }
          if switches.contains(port.far.node), seen.insert(port.far.node).inserted {
            longer.append((port.far.node, legs + [port.leg]))
          }
        }
      }
      ways = longer
    }
    return nil
  }
}

extension TracedDrop {
  /// `3 packets ended at isp1 (isp1:eth1): policer: police rate 5mbit`
  var sentence: String {
    let count = "\(packets) \(packets == 1 ? "packet" : "packets")"
    let place = sent ? "left \(node):\(interface) and never arrived" : "ended at \(node), last seen at \(interface)"
    return "\(count) \(place): \(reason)" + (detail.isEmpty ? "" : ": \(detail)")
  }
}
