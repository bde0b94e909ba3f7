// Gateway API HTTPRoute and GRPCRoute manifests (gateway.networking.k8s.io/v1) whose parents are Services, the form
// that the GAMMA initiative defines for meshes. What a manifest asks for is done or refused with its path: a rule that
// is silently left out would send requests where nobody meant them to go.

/// Reads route manifests against the services that they may name.
public struct RouteReader {
  private let services: [String: MeshService]
  private let clusters: Set<String>
  private let portOfCluster: [String: UInt16]

  /// - Parameter model: its services and pods say which names exist; its routes are not looked at.
  public init(_ model: MeshModel) {
    services = Dictionary(model.services.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let clusters = model.clusters
    self.clusters = Set(clusters.map(\.name))
    var ports: [String: UInt16] = [:]
    for cluster in clusters { ports[cluster.name] = services[cluster.service]?.port }
    portOfCluster = ports
  }

  /// One document of a file.
  /// - Returns: the route, when nothing is wrong with it; otherwise everything that is.
  public func read(_ document: ManifestValue) -> (route: MeshRoute?, errors: [ManifestError]) {
    let findings = ManifestFindings()
    let route = readRoute(ManifestPlace(value: document, path: "", findings: findings))
    return findings.errors.isEmpty ? (route, []) : (nil, findings.errors)
  }

  private func readRoute(_ place: ManifestPlace) -> MeshRoute? {
    guard let document = place.map() else { return nil }
    _ = document.required("apiVersion")?
      .word(["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1", "gateway.networking.k8s.io/v1alpha2"])
    guard let word = document.required("kind")?.word(MeshRoute.Kind.all), let kind = MeshRoute.Kind(rawValue: word)
    else { return nil }
    let name = document.required("metadata")?.map().flatMap(readName) ?? ""
    var route = MeshRoute(kind: kind, name: name, services: [], rules: [])
    if let spec = document.required("spec")?.map() {
      route.services = spec.required("parentRefs")?.list(atMost: 32).compactMap { readParent($0, kind) } ?? []
      spec["hostnames"]?.refuse("is not supported: a route of a mesh goes by its Service alone")
      if let rules = spec.required("rules")?.list(atMost: 256) {
        route.rules = rules.compactMap { RuleReader(self, kind).read($0) }
      }
      spec.end()
    }
    document.end()
    return route
  }

  private func readName(_ metadata: ManifestMap) -> String? {
    let name = metadata.required("name")?.string()
    _ = metadata["namespace"]?.word(["default"])
    // Neither changes what the route does.
    _ = (metadata["labels"], metadata["annotations"])
    metadata.end()
    return name
  }

  private func readParent(_ place: ManifestPlace, _ kind: MeshRoute.Kind) -> String? {
    guard let parent = place.map() else { return nil }
    checkReference(parent, kindIsRequired: true)
    parent.unsupported("sectionName")
    defer { parent.end() }
    guard let nameAt = parent.required("name"), let name = nameAt.string() else { return nil }
    guard let service = services[name] else {
      nameAt.refuse("there is no service “\(name)”")
      return nil
    }
    if !service.protocol.isHTTP || (kind == .grpc && service.protocol == .http) {
      nameAt.refuse("service “\(name)” carries \(service.protocol.rawValue): \(kind.rawValue) does not apply to it")
    }
    checkPort(parent, service.port)
    return name
  }

  /// The parts that references to parents and backends share. Without a group and kind a parent would be a Gateway, a
  /// backend a Service.
  private func checkReference(_ reference: ManifestMap, kindIsRequired: Bool) {
    _ = reference["group"]?.word(["", "core"])
    _ = (kindIsRequired ? reference.required("kind") : reference["kind"])?.word(["Service"])
    _ = reference["namespace"]?.word(["default"])
  }

  private func checkPort(_ reference: ManifestMap, _ expected: UInt16?) {
    guard let place = reference["port"], let port = place.integer(1...65535), let expected else { return }
    if port != Int(expected) { place.refuse("the service's port is \(expected)") }
  }

  /// The cluster that a reference to a backend names; the caller reads what else is in the map and ends it.
  func readBackendName(_ reference: ManifestMap) -> String? {
    checkReference(reference, kindIsRequired: false)
    guard let place = reference.required("name"), let name = place.string() else { return nil }
    guard clusters.contains(name) else {
      place.refuse("there is no service “\(name)”, and no version of a service that is called so")
      return nil
    }
    checkPort(reference, portOfCluster[name])
    return name
  }
}

extension MeshRoute.Kind {
  fileprivate static let all = [MeshRoute.Kind.http.rawValue, MeshRoute.Kind.grpc.rawValue]
}

/// Reads one rule.
struct RuleReader {
  private let routes: RouteReader
  private let kind: MeshRoute.Kind

  init(_ routes: RouteReader, _ kind: MeshRoute.Kind) {
    self.routes = routes
    self.kind = kind
  }

  func read(_ place: ManifestPlace) -> RouteRule? {
    guard let map = place.map() else { return nil }
    var rule = RouteRule()
    _ = map["name"]?.string()
    rule.matches =
      map["matches"]?.list(atMost: 64).compactMap { MatchReader(kind).read($0) } ?? []
    if let filters = map["filters"] { readFilters(filters, into: &rule) }
    rule.backends = map["backendRefs"]?.list(atMost: 16).compactMap(readBackend) ?? []
    if kind == .http {
      readTimeouts(map["timeouts"], into: &rule)
      rule.retry = map["retry"].flatMap(readRetry)
    }
    map["sessionPersistence"]?.refuse("is not supported")
    map.end()
    check(rule, map)
    return rule
  }

  private func check(_ rule: RouteRule, _ map: ManifestMap) {
    if rule.redirect != nil, !rule.backends.isEmpty {
      map["backendRefs"]?.refuse("a rule that redirects has no backends")
    }
    if rule.redirect != nil, rule.rewrite != nil { map["filters"]?.refuse("a rule redirects or rewrites, not both") }
    for path in [rule.redirect?.path, rule.rewrite?.path] {
      guard case .prefix = path else { continue }
      guard rule.matches.count == 1, case .prefix = rule.matches[0].path else {
        map["filters"]?.refuse("replacePrefixMatch needs exactly one match, of a PathPrefix")
        continue
      }
    }
  }

  private func readBackend(_ place: ManifestPlace) -> Backend? {
    guard let map = place.map() else { return nil }
    let cluster = routes.readBackendName(map)
    let weight = map["weight"]?.integer(0...1_000_000)
    var holder = RouteRule()
    if let filters = map["filters"] {
      readFilters(filters, into: &holder, onlyHeaders: true)
    }
    map.end()
    guard let cluster else { return nil }
    var backend = Backend(cluster: cluster, weight: weight ?? 1)
    backend.requestHeaders = holder.requestHeaders
    backend.responseHeaders = holder.responseHeaders
    return backend
  }

  // MARK: Filters

  private func readFilters(_ place: ManifestPlace, into rule: inout RouteRule, onlyHeaders: Bool = false) {
    var words = ["RequestHeaderModifier", "ResponseHeaderModifier"]
    if !onlyHeaders { words += kind == .http ? ["RequestMirror", "RequestRedirect", "URLRewrite"] : ["RequestMirror"] }
    var seen: Set<String> = []
    for item in place.list(atMost: 16) {
      guard let map = item.map(), let typePlace = map.required("type"), let type = typePlace.word(words) else {
        continue
      }
      if !seen.insert(type).inserted, type != "RequestMirror" { typePlace.refuse("is there twice") }
      readFilter(type, map, into: &rule)
      map.end()
    }
  }

  private func readFilter(_ type: String, _ map: ManifestMap, into rule: inout RouteRule) {
    switch type {
    case "RequestHeaderModifier":
      rule.requestHeaders = map.required("requestHeaderModifier").map(readHeaderChange) ?? HeaderChange()
    case "ResponseHeaderModifier":
      rule.responseHeaders = map.required("responseHeaderModifier").map(readHeaderChange) ?? HeaderChange()
    case "RequestMirror":
      if let mirror = map.required("requestMirror")?.map().flatMap(readMirror) { rule.mirrors.append(mirror) }
    case "RequestRedirect": rule.redirect = map.required("requestRedirect")?.map().map(readRedirect)
    default: rule.rewrite = map.required("urlRewrite")?.map().map(readRewrite)
    }
  }

  private func readHeaderChange(_ place: ManifestPlace) -> HeaderChange {
    var change = HeaderChange()
    guard let map = place.map() else { return change }
    func fields(_ key: String) -> [HeaderChange.Field] {
      map[key]?.list(atMost: 16).compactMap { item in
        guard let entry = item.map() else { return nil }
        defer { entry.end() }
        guard let name = entry.required("name").flatMap({ $0.fieldName() }),
          let value = entry.required("value").flatMap({ $0.fieldValue() })
        else { return nil }
        return HeaderChange.Field(name: name, value: value)
      } ?? []
    }
    change.set = fields("set")
    change.add = fields("add")
    change.remove = map["remove"]?.list(atMost: 16).compactMap { $0.fieldName() } ?? []
    map.end()
    return change
  }

  private func readMirror(_ map: ManifestMap) -> Mirror? {
    var mirror: Mirror?
    if let reference = map.required("backendRef")?.map() {
      mirror = routes.readBackendName(reference).map { Mirror(cluster: $0) }
      reference.end()
    }
    if let percent = map["percent"]?.integer(0...100) { mirror?.perMillion = UInt32(percent) * 10_000 }
    if let fraction = map["fraction"]?.map() {
      let denominator = fraction["denominator"]?.integer(1...1_000_000) ?? 100
      if let place = fraction.required("numerator"), let numerator = place.integer(0...1_000_000) {
        if numerator > denominator { place.refuse("is more than the denominator") }
        mirror?.perMillion = UInt32(min(numerator * 1_000_000 / denominator, 1_000_000))
      }
      fraction.end()
      if map["percent"] != nil { map["fraction"]?.refuse("and percent exclude each other") }
    }
    map.end()
    return mirror
  }

  private func readRedirect(_ map: ManifestMap) -> Redirect {
    var redirect = Redirect()
    redirect.scheme = map["scheme"]?.word(["http", "https"])
    redirect.hostname = map["hostname"]?.hostname()
    redirect.path = map["path"].flatMap(readReplacement)
    redirect.port = map["port"]?.integer(1...65535).map { UInt16($0) }
    if let place = map["statusCode"], let status = place.integer(300...399) {
      if [301, 302, 303, 307, 308].contains(status) {
        redirect.status = status
      } else {
        place.refuse("\(status) is not supported; possible: 301, 302, 303, 307, 308")
      }
    }
    map.end()
    return redirect
  }

  private func readRewrite(_ map: ManifestMap) -> Rewrite {
    var rewrite = Rewrite()
    rewrite.hostname = map["hostname"]?.hostname()
    rewrite.path = map["path"].flatMap(readReplacement)
    map.end()
    return rewrite
  }

  private func readReplacement(_ place: ManifestPlace) -> PathReplacement? {
    guard let map = place.map() else { return nil }
    defer { map.end() }
    switch map.required("type")?.word(["ReplaceFullPath", "ReplacePrefixMatch"]) {
    case "ReplaceFullPath": return (map.required("replaceFullPath")?.absolutePath()).map { .fullPath($0) }
    case "ReplacePrefixMatch": return (map.required("replacePrefixMatch")?.prefixPath()).map { .prefix($0) }
    default: return nil
    }
  }

  // MARK: Timeouts and retries

  private func readTimeouts(_ place: ManifestPlace?, into rule: inout RouteRule) {
    guard let map = place?.map() else { return }
    rule.requestTimeout = map["request"]?.duration()
    rule.backendTimeout = map["backendRequest"]?.duration()
    if let whole = rule.requestTimeout, let one = rule.backendTimeout, whole > 0, one > whole {
      map["backendRequest"]?.refuse("is longer than the time for the whole request")
    }
    map.end()
  }

  private func readRetry(_ place: ManifestPlace) -> Retry? {
    guard let map = place.map() else { return nil }
    var retry = Retry()
    retry.codes = map["codes"]?.list(atMost: 200).compactMap { $0.integer(400...599) } ?? []
    retry.attempts = map["attempts"]?.integer(0...100) ?? 1
    retry.backoff = map["backoff"]?.duration()
    map.end()
    return retry
  }
}
