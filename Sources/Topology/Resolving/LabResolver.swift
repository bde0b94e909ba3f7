import NetTypes

/// Turns the tree of a lab file into a `ResolvedLab`. One resolver reads one file and is then thrown away.
///
/// The stages run in the order of `resolve`, each on what the ones before have left, and all of them run even when
/// one has found errors, so that everything wrong with a file is said at once; a stage leaves out what it could not
/// make sense of (a link to an unknown node), and later stages do not complain about what is missing for that reason.
/// Every stage is linear in the size of the file, but for iBGP, which is as large as the mesh it makes.
///
///   tree ─ nodes ─ links ─ segments ─ addresses ─ mesh ─ containers ─ policies ─ sessions ─ routes ─ functions ─ tests ─► ResolvedLab
final class LabResolver {
  let file: String
  let baseDirectory: String
  let tree: Tree
  let writtenTests: [WrittenTest]
  /// Texts of files of `mesh.routes` that are not read from the disk.
  let manifests: [String: String]
  let reporter: Reporter

  var nodes: [NodeDraft] = []
  var indexes: [String: Int] = [:]
  var links: [LinkDraft] = []
  /// Some link was left out: what is missing then may be its fault.
  var linksAreWhole = true
  var segments: [SegmentDraft] = []
  var families: [AddressFamily] = [.ipv4, .ipv6]
  var policies: PolicyReader
  var sessions: [ResolvedSession] = []

  init(
    tree: Tree, tests: [WrittenTest] = [], manifests: [String: String] = [:], file: String, baseDirectory: String,
    reporter: Reporter
  ) {
    self.manifests = manifests
    self.tree = tree
    writtenTests = tests
    self.file = file
    self.baseDirectory = baseDirectory
    self.reporter = reporter
    let names = tree["topology"]?["nodes"]?.entries.map(\.key) ?? []
    let known = Set(names)
    policies = PolicyReader(tree["policies"], neighbors: known.contains, candidates: names, reporter)
  }

  func resolve() -> ResolvedLab? {
    readFamilies()
    readNodes()
    readLinks()
    checkImpairments()
    joinSegments()
    assignAddresses()
    let mesh = MeshReader(self).read()
    ContainerReader(self, mesh).read()
    deriveSessions()
    policies.warnOfUnused()
    readRoutes()
    readFunctions()
    let tests = TestReader(lab: self).read(writtenTests)
    guard !reporter.failed, let name = tree.text("name") else { return nil }
    return assemble(name: name, mesh: mesh, tests: tests)
  }

  private func readFamilies() {
    let addressing = tree["addressing"]
    let ipv4 = addressing?.bool("ipv4") ?? true
    let ipv6 = addressing?.bool("ipv6") ?? true
    if !ipv4, !ipv6, let addressing {
      reporter.error(addressing.place(of: "ipv6"), "`ipv4` and `ipv6` are both false; expected one of them")
    }
    families = (ipv4 ? [.ipv4] : []) + (ipv6 ? [.ipv6] : [])
  }

  /// The node of that name; nil after reporting.
  func lookUp(_ name: String, at place: Place) -> Int? {
    if let index = indexes[name] { return index }
    let hint = reporter.suggestion(for: name, from: nodes.lazy.map(\.name))
    reporter.error(place, "unknown node `\(name)`\(hint.isEmpty ? "; expected a name under `nodes:`" : hint)")
    return nil
  }

  func end(_ id: EndID) -> EndDraft { links[id.link][id.side] }

  /// The other node on a point-to-point link.
  func farNode(_ id: EndID) -> Int { end(id.far).node }

  /// `NODE:IFACE`
  func name(_ id: EndID) -> String { "\(nodes[end(id).node].name):\(end(id).interface)" }

  /// An end by `NODE:IFACE`, or nil.
  func find(_ node: Int, interface: some StringProtocol) -> EndID? {
    nodes[node].interfaces.first { end($0).interface == interface }
  }
}
