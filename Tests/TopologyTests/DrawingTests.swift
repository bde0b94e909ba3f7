import Foundation
import Testing
import Topology

#if canImport(FoundationXML)
  import FoundationXML
#endif

private let triangle = """
  name: "a-b"
  topology:
    nodes:
      stub: {kind: router, asn: 64500}
      left: {kind: router, asn: 64501}
      right: {kind: router, asn: 64502}
      pc: {kind: host}
      lan: {kind: switch}
    links:
      - {endpoints: [stub, left], relation: customer-provider}
      - {endpoints: [stub, right], relation: customer-provider}
      - {endpoints: [left, right], relation: peer-peer}
      - {endpoints: [left, right], relation: sibling}
      - {endpoints: [pc, lan]}
      - {endpoints: [stub, lan]}

  """

/// Element names and texts, and every `<text>` with its place.
private final class Reader: NSObject, XMLParserDelegate {
  var elements: [String] = []
  var labels: [String: Double] = [:]
  private var y: Double?
  private var text = ""

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
    attributes: [String: String]
  ) {
    elements.append(name)
    text = ""
    y = name == "text" ? attributes["y"].flatMap(Double.init) : nil
  }

  func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }

  func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
    if name == "text", let y { labels[text] = y }
  }
}

@Test func theDrawingIsWellFormedAndShowsEveryNodeLinkAndRelation() throws {
  let lab = try #require(parse(triangle).value)
  let svg = TopologyDrawing(lab: lab).svg()
  let reader = Reader()
  let parser = XMLParser(data: Data(svg.utf8))
  parser.delegate = reader
  #expect(parser.parse(), "\(parser.parserError.map(String.init(describing:)) ?? "")")
  for name in ["stub", "left", "right", "pc", "lan", "router · AS 64500", "host", "switch"] {
    #expect(reader.labels[name] != nil, "\(name)")
  }
  // One rectangle a node and the paper; one path a link and the arrow head.
  #expect(reader.elements.count { $0 == "rect" } == 6)
  #expect(reader.elements.count { $0 == "path" } == 7)
  #expect(svg.components(separatedBy: "marker-end").count == 3)
  #expect(svg.contains("prefers-color-scheme: dark"))
  // Providers stand above (y grows downward).
  let stub = try #require(reader.labels["stub"])
  #expect(try #require(reader.labels["left"]) < stub && reader.labels["right"] ?? .infinity < stub)
  #expect(svg == TopologyDrawing(lab: lab).svg())
}

@Test func theGraphvizTextNamesEveryLinkOnce() throws {
  let lab = try #require(parse(triangle).value)
  let dot = TopologyDrawing(lab: lab).dot()
  #expect(dot.hasPrefix("graph \"a-b\" {\n") && dot.hasSuffix("}\n"))
  #expect(dot.components(separatedBy: " -- ").count == 7)
  #expect(
    dot.contains("\"stub\" -- \"left\" [taillabel=\"eth1\", headlabel=\"eth1\", dir=forward, label=\"customer of\"]"))
}

@Test func nodesOfADrawingDoNotCoverEachOther() throws {
  var text = "name: ring\ntopology:\n  nodes:\n"
  for index in 0..<30 { text += "    n\(index): {kind: router}\n" }
  text += "  links:\n"
  for index in 0..<30 { text += "    - {endpoints: [n\(index), n\((index + 1) % 30)]}\n" }
  let svg = TopologyDrawing(lab: try #require(parse(text).value)).svg()
  let boxes = svg.matches(of: /<rect class="box" x="(-?\d+)" y="(-?\d+)" width="(\d+)" height="(\d+)"/).map { match in
    [match.1, match.2, match.3, match.4].compactMap { Int($0) }
  }
  #expect(boxes.count == 30)
  for (index, one) in boxes.enumerated() {
    for two in boxes.dropFirst(index + 1) {
      let apart = abs(one[0] - two[0]) >= one[2] || abs(one[1] - two[1]) >= one[3]
      #expect(apart, "\(one) \(two)")
    }
  }
}
