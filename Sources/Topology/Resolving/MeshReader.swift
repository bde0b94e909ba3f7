public import Mesh
import NetTypes

/// Reads `mesh:` and the pods' part of it. Runs when addresses are known and before sessions and routes are derived:
/// what routers announce of services is theirs to originate.
struct MeshReader {
  let lab: LabResolver
  private var reporter: Reporter { lab.reporter }

  init(_ lab: LabResolver) { self.lab = lab }

  func read() -> MeshSettings? {
    let pods = readPods()
    guard let tree = lab.tree["mesh"], tree.isMapping else {
      for pod in pods where pod.pod?.service != nil {
        reporter.error(
          pod.merged.place(of: "service"), "`service` in a file without `mesh`; expected it under `services:`")
      }
      return nil
    }
    let mtls = tree.text("mtls").flatMap(MeshSettings.MutualTLS.init(rawValue:)) ?? .permissive
    var services = readServices(tree)
    readPolicies(of: &services, pods, tree)
    checkPods(pods, services, mtls)
    checkVersions(pods, services)
    let announced = services.map { service in
      var service = service
      service.announcedBy = announce(service, tree)
      return service
    }
    if mtls == .off, let entry = tree.entry("authorization"), !entry.value.list.isEmpty {
      reporter.warning(
        entry.keyPlace,
        "authorization with `mtls: off`: nobody has an identity, so the services that it names refuse all")
    }
    let manifests = readManifests(tree)
    return MeshSettings(
      mutualTLS: mtls, services: announced, authorizations: readAuthorizations(tree, services, pods),
      routes: readRoutes(manifests.flatMap(\.documents), services, pods),
      manifests: Dictionary(manifests.map { ($0.path, $0.text) }, uniquingKeysWith: { first, _ in first }),
      tracing: readTracing(tree["tracing"]))
  }

  private func readTracing(_ tree: Tree?) -> TracingSettings? {
    guard let tree, let collector = tree.text("otlp").flatMap({ CollectorURL($0) }) else { return nil }
    if IPAddress(collector.host) == nil, lab.indexes[collector.host] == nil {
      let hint = reporter.suggestion(for: collector.host, from: lab.nodes.map(\.name))
      reporter.error(
        tree.place(of: "otlp"),
        "otlp: unknown node `\(collector.host)`\(hint.isEmpty ? "; expected a node or an address" : hint)")
    }
    let sampling = tree.text("sampling").flatMap(parsePartsPerMillion).map { Double($0) / 10_000 }
    return TracingSettings(collector: collector, sampling: sampling ?? 100)
  }

  // MARK: Pods

  private func readPods() -> [NodeDraft] {
    let pods = lab.nodes.filter { $0.kind == .pod }
    for pod in pods {
      pod.pod = PodSettings(
        service: pod.merged.text("service"), version: pod.merged.text("version"),
        sidecar: pod.merged.text("sidecar").flatMap(PodSettings.Sidecar.init(rawValue:)) ?? .netloom,
        interception: pod.merged.text("interception").flatMap(PodSettings.Interception.init(rawValue:)) ?? .redirect)
      if pod.merged["version"] != nil, pod.merged["service"] == nil {
        reporter.error(pod.merged.place(of: "version"), "`version` without `service`: a version of what?")
      }
    }
    return pods
  }

  private func checkPods(_ pods: [NodeDraft], _ services: [MeshService], _ mtls: MeshSettings.MutualTLS) {
    for pod in pods {
      guard let settings = pod.pod else { continue }
      if let name = settings.service, !services.contains(where: { $0.name == name }) {
        let hint = reporter.suggestion(for: name, from: services.map(\.name))
        reporter.error(
          pod.merged.place(of: "service"),
          "unknown service `\(name)`\(hint.isEmpty ? "; expected a name under `services:` of `mesh`" : hint)")
      }
      if settings.sidecar == .none, mtls == .strict {
        reporter.error(
          pod.merged.place(of: "sidecar"),
          "`sidecar: none` on `\(pod.name)` with `mtls: strict`: nobody would encrypt; expected a sidecar"
        )
      }
      if settings.interception == .tproxy, settings.sidecar != .netloom {
        reporter.error(
          pod.merged.place(of: "interception"),
          "`interception: tproxy` on `\(pod.name)` with `sidecar: \(settings.sidecar.rawValue)`: only `netloom` connects "
            + "to a program with its client's address")
      }
    }
    for service in services where !pods.contains(where: { $0.pod?.service == service.name }) {
      reporter.warning(service.place, "service `\(service.name)` has no pod")
    }
  }

  /// SERVICE-VERSION is a name too, and names one thing.
  private func checkVersions(_ pods: [NodeDraft], _ services: [MeshService]) {
    let names = Set(services.map(\.name))
    for pod in pods {
      guard let service = pod.pod?.service, let version = pod.pod?.version, names.contains("\(service)-\(version)")
      else {
        continue
      }
      reporter.error(
        pod.merged.place(of: "version"),
        "version `\(version)` of `\(service)` and the service `\(service)-\(version)` have one name; rename one")
    }
  }

  // MARK: Services

  private func readServices(_ tree: Tree) -> [MeshService] {
    var pools = readPools(tree)
    return (tree["services"]?.entries ?? []).compactMap { entry in
      if let node = lab.indexes[entry.key] {
        reporter.error(
          entry.keyPlace, "service `\(entry.key)` and the node in line \(lab.nodes[node].place.line) have one name")
      }
      guard let port = entry.value.number("port"), let text = UInt16(exactly: port) else { return nil }
      let target = entry.value.number("target").flatMap { UInt16(exactly: $0) } ?? text
      if SidecarPorts.all.contains(target) {
        reporter.error(
          entry.value.place(of: "target"), "target: \(target) is a port of the sidecar's own; expected another")
      }
      var addresses: [IPAddress] = []
      for index in pools.indices {
        guard let address = pools[index].next() else {
          reporter.error(tree.place(of: "addresses"), "\(pools[index].prefix) has no address left for `\(entry.key)`")
          continue
        }
        addresses.append(address)
      }
      return MeshService(
        name: entry.key, place: entry.keyPlace, addresses: addresses, port: text, target: target,
        applicationProtocol: entry.value.text("protocol").flatMap(MeshService.ApplicationProtocol.init(rawValue:))
          ?? .tcp,
        announcedBy: [])
    }
  }

  private func readPolicies(of services: inout [MeshService], _ pods: [NodeDraft], _ tree: Tree) {
    let model = model(services, pods)
    let clusters = Set(model.clusters.map(\.name))
    for index in services.indices {
      let name = services[index].name
      guard let written = tree["services"]?[name] else { continue }
      ServiceReader(
        reporter: reporter, tree: written, isHTTP: services[index].applicationProtocol != .tcp,
        versions: Set(model.versions(of: name)), clusters: clusters
      ).read(into: &services[index])
    }
  }

  /// As far as names go.
  private func model(_ services: [MeshService], _ pods: [NodeDraft]) -> MeshModel {
    MeshModel(
      trustDomain: "",
      pods: pods.map { MeshPod(name: $0.name, addresses: [], service: $0.pod?.service, version: $0.pod?.version) },
      services: services.map { service in
        Mesh.MeshService(
          name: service.name, addresses: [], port: service.port, targetPort: service.target,
          protocol: service.applicationProtocol.lowered)
      })
  }

  private struct Pool {
    let prefix: IPPrefix
    private var number: UInt64 = 0

    init(_ prefix: IPPrefix) { self.prefix = prefix }

    /// From the first behind the prefix's own on; the last is left out.
    mutating func next() -> IPAddress? {
      number += 1
      let room = prefix.family.bits - Int(prefix.length)
      guard room >= 64 || number < (1 << UInt64(room)) - 1 else { return nil }
      var bytes = prefix.address.bytes
      var rest = number
      for index in bytes.indices.reversed() where rest > 0 {
        bytes[index] |= UInt8(truncatingIfNeeded: rest)
        rest >>= 8
      }
      return IPAddress(bytes: bytes)
    }
  }

  private func readPools(_ tree: Tree) -> [Pool] {
    let written = tree.items("addresses").compactMap { item in
      item.text.flatMap { IPPrefix($0) }.map { ($0, item.place) }
    }
    var pools: [IPPrefix] = []
    for (prefix, place) in written {
      if !lab.families.contains(prefix.family) {
        reporter.error(place, "`\(prefix)` in a lab without \(prefix.family.title)")
      } else if pools.contains(where: { $0.family == prefix.family }) {
        reporter.error(place, "a second \(prefix.family.title) pool; expected one per family")
      } else {
        pools.append(prefix)
      }
      if let end = overlap(prefix) { reporter.error(place, "`\(prefix)` overlaps the addresses of \(end)") }
    }
    if written.isEmpty { pools = Self.defaults.filter { lab.families.contains($0.family) } }
    return pools.map { Pool($0) }
  }

  private static let defaults = ["10.254.0.0/16", "fd00:254::/64"].compactMap { IPPrefix($0) }

  private func overlap(_ prefix: IPPrefix) -> String? {
    for link in lab.links {
      for end in [link.a, link.b] {
        for address in end.addresses
        where address.value.prefix.contains(prefix.address) || prefix.contains(address.value.address) {
          return "\(lab.nodes[end.node].name):\(end.interface)"
        }
      }
    }
    return nil
  }

  // MARK: Announcements

  /// A router that announces a service originates its addresses and has the pods on its links for next hops.
  /// - Returns: the routers that do.
  private func announce(_ service: MeshService, _ tree: Tree) -> [String] {
    var routers: [String] = []
    guard let written = tree["services"]?[service.name] else { return [] }
    for item in written.items("announce") {
      guard let name = item.text, let router = lab.lookUp(name, at: item.place) else { continue }
      let draft = lab.nodes[router]
      guard draft.isNetloomSpeaker else {
        reporter.error(item.place, "announce: `\(name)` is no router with an `asn`; expected one that speaks BGP")
        continue
      }
      if routers.contains(name) { reporter.error(item.place, "announce: `\(name)` stands twice") }
      routers.append(name)
      for address in service.addresses {
        guard let prefix = IPPrefix(address, length: address.family.bits) else { continue }
        let hops = hops(from: router, to: service.name, address.family)
        guard let first = hops.first else {
          if address.family == .ipv4 || lab.families == [.ipv6] {
            reporter.error(
              item.place,
              "announce: no pod of `\(service.name)` is on a link of `\(name)`; expected a router beside a pod")
          }
          continue
        }
        draft.networks.append(prefix)
        draft.routes.append(
          StaticRoute(
            to: prefix, gateway: first.gateway, interface: first.interface, derived: true, weight: 1,
            others: Array(hops.dropFirst())))
      }
    }
    return routers
  }

  private func hops(from router: Int, to service: String, _ family: AddressFamily) -> [StaticRoute.Hop] {
    lab.nodes[router].interfaces.flatMap { mine in
      lab.acrossLink(mine).compactMap { theirs in
        guard lab.nodes[lab.end(theirs).node].pod?.service == service, let gateway = lab.end(theirs).address(family)
        else { return nil }
        return StaticRoute.Hop(gateway: gateway.address, interface: lab.end(mine).interface, weight: 1)
      }
    }
  }

  // MARK: Authorization and routes

  private func readAuthorizations(
    _ tree: Tree, _ services: [MeshService], _ pods: [NodeDraft]
  ) -> [MeshAuthorization] {
    let names = Set(services.map(\.name))
    let callers = names.union(pods.filter { $0.pod?.service == nil }.map(\.name))
    func known(_ item: Tree?, in names: Set<String>, _ what: String) -> String? {
      guard let item, let name = item.text else { return nil }
      if names.contains(name) { return name }
      let hint = reporter.suggestion(for: name, from: names.sorted())
      reporter.error(item.place, "unknown \(what) `\(name)`\(hint)")
      return nil
    }
    var result: [MeshAuthorization] = []
    for item in tree.items("authorization") {
      guard let to = known(item["to"], in: names, "service") else { continue }
      if result.contains(where: { $0.to == to }) {
        reporter.error(item.place(of: "to"), "a second authorization of `\(to)`; expected one")
      }
      let allowed = item.items("allow").compactMap { known($0, in: callers, "service or pod without one") }
      result.append(MeshAuthorization(to: to, allowed: allowed))
    }
    return result
  }

  private struct ManifestText {
    /// As `routes` writes it.
    var path: String
    var text: String
    var documents: [Tree]
  }

  /// The files of `routes`: as they stood when the version of the lab was made where that is known, from the disk
  /// otherwise.
  private func readManifests(_ tree: Tree) -> [ManifestText] {
    tree.items("routes").compactMap { item in
      guard let path = item.text else { return nil }
      let absolute = FilePath.absolute(FilePath.join(lab.baseDirectory, path))
      let name = FilePath.join(FilePath.directory(of: lab.file), path)
      var text = lab.manifests[path]
      if text == nil {
        if let reason = FilePath.unreadable(absolute) {
          reporter.error(item.place, "routes: cannot read `\(path)`: \(reason)")
          return nil
        }
        text = SourceFile.read(path: absolute, at: item.place, reporter)?.text
      }
      return text.map {
        ManifestText(path: path, text: $0, documents: ManifestFile.documents(of: $0, name: name, reporter))
      }
    }
  }

  /// Everything that a manifest asks for is done or refused, at its place.
  private func readRoutes(_ documents: [Tree], _ services: [MeshService], _ pods: [NodeDraft]) -> [ManifestRoute] {
    let reader = RouteReader(model(services, pods))
    return documents.compactMap { document in
      let (route, errors) = reader.read(ManifestValue(document))
      for error in errors {
        reporter.error(
          Place(file: document.place.file, line: error.line, column: error.column), error.description)
      }
      return route.map { ManifestRoute(route: $0, place: document.place) }
    }
  }
}

extension MeshService.ApplicationProtocol {
  public var lowered: ServiceProtocol {
    switch self {
    case .http: .http
    case .http2: .http2
    case .grpc: .grpc
    case .tcp: .tcp
    }
  }
}
