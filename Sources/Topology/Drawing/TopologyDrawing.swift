/// A picture of a lab: Graphviz text, or SVG with a layout of its own. Nodes show kind and AS, links their interfaces
/// and relation; an arrow points from a customer to its provider, a dashed line joins peers.
public struct TopologyDrawing: Sendable {
  public let lab: ResolvedLab
  public init(lab: ResolvedLab) { self.lab = lab }

  /// Graphviz text.
  public func dot() -> String {
    var text = "graph \(Self.quoted(lab.name)) {\n"
    text += "  graph [overlap=false, splines=true, rankdir=BT];\n"
    text += "  node [fontname=\"sans-serif\", fontsize=11];\n  edge [fontname=\"sans-serif\", fontsize=8];\n"
    for node in lab.nodes {
      let label = Self.quoted(([node.name] + [caption(node)]).joined(separator: "\n"))
      text += "  \(Self.quoted(node.name)) [label=\(label), \(Self.dotShape(node.kind))];\n"
    }
    for link in lab.links {
      let ends = "taillabel=\(Self.quoted(link.a.interface)), headlabel=\(Self.quoted(link.b.interface))"
      text += "  \(Self.quoted(link.a.node)) -- \(Self.quoted(link.b.node)) [\(ends)\(Self.dotStyle(link.relation))];\n"
    }
    return text + "}\n"
  }

  /// A drawing of its own layout; legible on light and dark backgrounds.
  public func svg() -> String { SVGDrawing(lab: lab, caption: caption).text() }

  /// Where its nodes and links stand, for a page that draws over them.
  public func placed() -> PlacedTopology { SVGDrawing(lab: lab, caption: caption).placed() }

  /// The links and the nodes of a placed drawing as parts of a larger SVG, which goes between them or on top and has a
  /// style for their classes: wire, arrow, small; box, host, switch, daemon. Arrows want a marker `to-provider`.
  public func parts(_ placed: PlacedTopology) -> (links: String, nodes: String) {
    let drawing = SVGDrawing(lab: lab, caption: caption)
    return (drawing.wires(placed), drawing.boxes(placed))
  }

  /// Under the name: `router · AS 64500`.
  private func caption(_ node: ResolvedNode) -> String {
    node.kind.rawValue + (node.asn.map { " · AS \($0)" } ?? "")
  }

  private static func dotShape(_ kind: NodeKind) -> String {
    switch kind {
    case .router: "shape=box, style=rounded"
    case .host, .pod, .registry: "shape=box"
    case .switch: "shape=diamond"
    case .bird, .frr, .gobgp, .openbgpd: "shape=box, style=rounded, peripheries=2"
    }
  }

  private static func dotStyle(_ relation: LinkRelation?) -> String {
    switch relation {
    case .customerProvider: ", dir=forward, label=\"customer of\""
    case .routeServer: ", dir=forward, style=dotted, label=\"client of\""
    case .peerPeer: ", style=dashed, label=\"peers\""
    case .sibling: ", style=bold, label=\"siblings\""
    case .open: ", label=\"open\""
    case nil: ""
    }
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for character in text {
      switch character {
      case "\"", "\\": result += "\\\(character)"
      case "\n": result += "\\n"
      default: result.append(character)
      }
    }
    return result + "\""
  }
}

/// A drawing's geometry.
public struct PlacedTopology: Sendable, Equatable {
  /// A link, from the edge of one node's box to the edge of the other's.
  public struct Line: Sendable, Equatable {
    public var a: Point
    public var b: Point
  }

  public var width: Int
  public var height: Int
  /// Centres, in the order of `ResolvedLab.nodes`.
  public var nodes: [Point]
  /// In the order of `ResolvedLab.links`.
  public var links: [Line]
}
