import NetTypes

/// Writes a laid-out lab as SVG. No script, no external font or style; both colour schemes are in the one file.
struct SVGDrawing {
  let lab: ResolvedLab
  let caption: (ResolvedNode) -> String

  private static let box = (width: 132.0, height: 44.0)
  private static let margin = 110.0

  init(lab: ResolvedLab, caption: @escaping (ResolvedNode) -> String) {
    self.lab = lab
    self.caption = caption
  }

  func text() -> String {
    let placed = placed()
    return Self.head(width: placed.width, height: placed.height, title: lab.name) + wires(placed) + boxes(placed)
      + "</svg>\n"
  }

  /// Where everything stands; the same lab always gives the same.
  func placed() -> PlacedTopology {
    let indexes = Dictionary(
      lab.nodes.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    let pairs = lab.links.compactMap { link -> (Int, Int)? in
      guard let a = indexes[link.a.node], let b = indexes[link.b.node] else { return nil }
      return (a, b)
    }
    let above = zip(lab.links, pairs).filter { $0.0.relation == .customerProvider }.map(\.1)
    let layout = StressLayout(count: lab.nodes.count, edges: pairs, above: above)
    let points = layout.placed(
      width: Self.box.width + 40, height: Self.box.height + 36, edge: 190, margin: Self.margin)
    let offsets = Self.offsets(pairs)
    return PlacedTopology(
      width: Int((points.map(\.x).max() ?? 0) + Self.margin), height: Int((points.map(\.y).max() ?? 0) + Self.margin),
      nodes: points,
      links: pairs.enumerated().map { index, pair in
        let (a, b) = Self.apart(points[pair.0], points[pair.1], by: offsets[index])
        return .init(a: Self.border(of: a, towards: b), b: Self.border(of: b, towards: a))
      })
  }

  func wires(_ placed: PlacedTopology) -> String {
    zip(lab.links, placed.links).map { line($0, $1.a, $1.b) }.joined()
  }

  func boxes(_ placed: PlacedTopology) -> String {
    zip(lab.nodes, placed.nodes).map { node($0, $1) }.joined()
  }

  private static func head(width: Int, height: Int, title: String) -> String {
    """
    <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" width="\(width)" height="\(height)" \
    font-family="sans-serif" font-size="12">
    <title>\(escaped(title))</title>
    <style>
    .paper{fill:#fff} .box{fill:#eef3fb;stroke:#2f5597;stroke-width:1.5} .host{fill:#f6f6f6;stroke:#666}
    .switch{fill:#fdf5e2;stroke:#9a6b00} .daemon{fill:#ecf7ee;stroke:#2b7a3d}
    .wire{stroke:#444;stroke-width:1.5;fill:none}
    .arrow{fill:#444} text{fill:#111;text-anchor:middle} .small{font-size:10px;fill:#444}
    @media (prefers-color-scheme: dark){
    .paper{fill:#16181d} .box{fill:#1f2a3d;stroke:#8fb0ea} .host{fill:#26282d;stroke:#aaa}
    .switch{fill:#35301f;stroke:#e0b450} .daemon{fill:#1d3123;stroke:#7fd196} .wire{stroke:#bbb} .arrow{fill:#bbb}
    text{fill:#f2f2f2} .small{fill:#c4c4c4}}
    </style>
    <defs><marker id="to-provider" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" \
    orient="auto"><path class="arrow" d="M0 0L10 5L0 10z"/></marker></defs>
    <rect class="paper" width="100%" height="100%"/>

    """
  }

  private func node(_ node: ResolvedNode, _ point: Point) -> String {
    let (w, h) = (Self.box.width, Self.box.height)
    let style =
      switch node.kind {
      case .router: "box"
      case .host, .pod, .registry: "box host"
      case .switch: "box switch"
      case .bird, .frr, .gobgp, .openbgpd: "box daemon"
      }
    let radius = node.kind.forwards ? 12 : node.kind == .switch ? 22 : 2
    let x = Self.number(point.x)
    return """
      <g><rect class="\(style)" x="\(Self.number(point.x - w / 2))" y="\(Self.number(point.y - h / 2))" \
      width="\(Self.number(w))" height="\(Self.number(h))" rx="\(radius)"/>\
      <text x="\(x)" y="\(Self.number(point.y - 3))" font-weight="bold">\
      \(Self.escaped(Self.shortened(node.name)))</text>\
      <text class="small" x="\(x)" y="\(Self.number(point.y + 13))">\(Self.escaped(caption(node)))</text>\
      <title>\(Self.escaped(details(node)))</title></g>

      """
  }

  private func line(_ link: ResolvedLink, _ start: Point, _ end: Point) -> String {
    let style =
      switch link.relation {
      case .customerProvider: " marker-end=\"url(#to-provider)\""
      case .routeServer: " stroke-dasharray=\"2 4\" marker-end=\"url(#to-provider)\""
      case .peerPeer: " stroke-dasharray=\"7 5\""
      case .sibling: " style=\"stroke-width:3\""
      case .open, nil: ""
      }
    let (dx, dy) = (end.x - start.x, end.y - start.y)
    let length = max((dx * dx + dy * dy).squareRoot(), 1)
    // Interface names stand beside the line, near their ends; they are wider than high.
    let (ox, oy) = (-dy / length * 18, dx / length * 10)
    let label = { (from: Point, sign: Double, text: String) in
      "<text class=\"small\" x=\"\(Self.number(from.x + sign * dx / length * 20 + ox))\" "
        + "y=\"\(Self.number(from.y + sign * dy / length * 20 + oy + 3))\">\(Self.escaped(text))</text>"
    }
    var text =
      "<g><path class=\"wire\"\(style) d=\"M\(Self.number(start.x)) \(Self.number(start.y))"
      + "L\(Self.number(end.x)) \(Self.number(end.y))\"/>"
    text += label(start, 1, link.a.interface) + label(end, -1, link.b.interface)
    let relation = link.relation.map { " (\($0.rawValue))" } ?? ""
    return text + "<title>\(Self.escaped("\(link.a.name) - \(link.b.name)\(relation)"))</title></g>\n"
  }

  /// Shown when the pointer rests on the node.
  private func details(_ node: ResolvedNode) -> String {
    let addresses = node.interfaces.map { interface in
      "\(interface.name) " + interface.addresses.map(\.description).joined(separator: " ")
    }
    return ([node.name + " " + node.loopbacks.map(\.description).joined(separator: " ")] + addresses).joined(
      separator: "\n")
  }

  /// Links between the same two nodes are drawn side by side.
  private static func offsets(_ pairs: [(Int, Int)]) -> [Double] {
    var groups: [[Int]: [Int]] = [:]
    for (index, pair) in pairs.enumerated() {
      groups[[min(pair.0, pair.1), max(pair.0, pair.1)], default: []].append(index)
    }
    var offsets = [Double](repeating: 0, count: pairs.count)
    for group in groups.values {
      for (position, index) in group.enumerated() {
        let offset = 24 * (Double(position) - Double(group.count - 1) / 2)
        // Sideways is seen from the first end, which need not be the same node.
        offsets[index] = pairs[index].0 <= pairs[index].1 ? offset : -offset
      }
    }
    return offsets
  }

  /// Both points moved sideways.
  private static func apart(_ a: Point, _ b: Point, by offset: Double) -> (Point, Point) {
    guard offset != 0 else { return (a, b) }
    let (dx, dy) = (b.x - a.x, b.y - a.y)
    let length = max((dx * dx + dy * dy).squareRoot(), 1)
    let (x, y) = (-dy / length * offset, dx / length * offset)
    return (Point(x: a.x + x, y: a.y + y), Point(x: b.x + x, y: b.y + y))
  }

  /// Where the line to `other` leaves the box around `point`.
  private static func border(of point: Point, towards other: Point) -> Point {
    let (dx, dy) = (other.x - point.x, other.y - point.y)
    let scale = min(box.width / 2 / max(abs(dx), 1e-9), box.height / 2 / max(abs(dy), 1e-9), 1)
    return Point(x: point.x + dx * scale, y: point.y + dy * scale)
  }

  private static func number(_ value: Double) -> String { String(Int(value.rounded())) }

  private static func shortened(_ name: String) -> String { name.count > 18 ? name.prefix(17) + "…" : name }

  static func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      default: result.append(character)
      }
    }
    return result
  }
}
