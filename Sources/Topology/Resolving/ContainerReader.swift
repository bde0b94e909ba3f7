import NetTypes

/// Reads what makes a host or a pod a container. After the mesh: a pod is ready when its service's target answers.
struct ContainerReader {
  let lab: LabResolver
  let mesh: MeshSettings?
  private var reporter: Reporter { lab.reporter }

  init(_ lab: LabResolver, _ mesh: MeshSettings?) {
    self.lab = lab
    self.mesh = mesh
  }

  func read() {
    for node in lab.nodes where node.kind == .host || node.kind == .pod {
      node.container = container(of: node)
    }
  }

  private func container(of node: NodeDraft) -> ContainerSettings? {
    let tree = node.merged
    guard let text = tree.text("image"), let image = try? ImageReference(reading: text) else {
      for key in ["limits", "binds", "ready"] where tree["image"] == nil {
        guard let entry = node.own.entry(key) else { continue }
        reporter.error(entry.keyPlace, "`\(key)` on `\(node.name)`, which has no `image`: it runs no container")
      }
      return nil
    }
    var settings = ContainerSettings(image: image, place: tree.place(of: "image"))
    settings.arguments = arguments(of: node)
    settings.memory = tree["limits"]?.text("memory").flatMap(parseMemory)
    settings.milliCPUs = tree["limits"]?.text("cpus").flatMap(parseCPUs)
    settings.binds = tree.items("binds").compactMap(bind)
    readReady(tree["ready"], node, &settings)
    return settings
  }

  private func arguments(of node: NodeDraft) -> [String]? {
    let lines = node.merged.items("cmd")
    guard let line = lines.first, let text = line.text else { return nil }
    if lines.count > 1 {
      reporter.error(
        lines[1].place,
        "`cmd` of `\(node.name)` has \(lines.count) lines; with `image` one line gives the arguments of its entrypoint")
    }
    guard let words = shellWords(text) else {
      reporter.error(line.place, "`cmd` of `\(node.name)`: a quote is not closed")
      return nil
    }
    return words
  }

  private func bind(_ item: Tree) -> ContainerSettings.Bind? {
    guard let bind = item.text.flatMap(parseBind) else { return nil }
    let source = FilePath.absolute(FilePath.join(lab.baseDirectory, bind.source))
    if let reason = FilePath.absent(source) {
      reporter.error(item.place, "binds: cannot read `\(bind.source)`: \(reason)")
    }
    return ContainerSettings.Bind(source: source, destination: bind.destination, readOnly: bind.readOnly)
  }

  private func readReady(_ tree: Tree?, _ node: NodeDraft, _ settings: inout ContainerSettings) {
    let target = node.pod?.service.flatMap { mesh?.service($0) }?.target
    settings.readyPort = tree?.number("port").flatMap { UInt16(exactly: $0) } ?? target
    settings.readyPath = tree?.text("http")
    if settings.readyPath != nil, settings.readyPort == nil, let tree {
      reporter.error(
        tree.place(of: "http"), "`ready` of `\(node.name)` names no port; expected `port` beside `http`")
    }
  }
}
