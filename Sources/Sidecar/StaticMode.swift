// A sidecar without a control plane: one listener, one upstream, from the command line. For measurements and for people.
import EventLoop
import NetTypes

/// What the command line says.
struct StaticMode {
  enum Security: Equatable { case none, inbound, outbound }

  var listen: SocketAddress
  var upstream: [SocketAddress] = []
  var applicationProtocol = ApplicationProtocol.http
  var security = Security.none
  var caPath = ""
  var certificatePath = ""
  var keyPath = ""
  var workers = 1
  var admin: SocketAddress?
  var mark: UInt32 = 0
  var pod = "static"
  var accessLog = false
  var control = ""
  var tracing: Tracing?

  static let usage = """
    usage: netloom-sidecar --listen IP:PORT --upstream IP:PORT [--upstream IP:PORT ...] [--tcp | --http | --http2]
             [--in-tls | --out-tls] [--ca FILE --cert FILE --key FILE] [--workers N] [--admin IP:PORT]
             [--mark N] [--pod NAME] [--access-log] [--control PATH] [--otlp http://IP:PORT]
    """

  struct UsageError: Error, Equatable { let text: String }

  init(_ arguments: [String]) throws(UsageError) {
    listen = SocketAddress(.v4(IPv4Address(rawValue: 0)), 0)
    var rest = arguments[...]
    var haveListen = false
    while let option = rest.popFirst() {
      switch option {
      case "--tcp": applicationProtocol = .tcp
      case "--http": applicationProtocol = .http
      case "--http2": applicationProtocol = .http2
      case "--in-tls": security = .inbound
      case "--out-tls": security = .outbound
      case "--access-log": accessLog = true
      default:
        guard let value = rest.popFirst() else { throw UsageError(text: "\(option): a value is missing") }
        if option == "--listen" { haveListen = true }
        try take(option, value)
      }
    }
    guard haveListen, !upstream.isEmpty else { throw UsageError(text: "--listen and --upstream are needed") }
    guard security == .none || ![caPath, certificatePath, keyPath].contains("") else {
      throw UsageError(text: "TLS needs --ca, --cert and --key")
    }
  }

  private mutating func take(_ option: String, _ value: String) throws(UsageError) {
    func address() throws(UsageError) -> SocketAddress {
      guard let address = SocketAddress(value) else { throw UsageError(text: "\(option) \(value): not IP:PORT") }
      return address
    }
    switch option {
    case "--listen": listen = try address()
    case "--upstream": upstream.append(try address())
    case "--admin": admin = try address()
    case "--ca": caPath = value
    case "--cert": certificatePath = value
    case "--key": keyPath = value
    case "--pod": pod = value
    case "--control": control = value
    case "--otlp": tracing = try StaticMode.tracing(value)
    case "--workers":
      guard let count = Int(value), (1...64).contains(count) else {
        throw UsageError(text: "--workers \(value): 1 to 64")
      }
      workers = count
    case "--mark":
      guard let number = UInt32(value) else { throw UsageError(text: "--mark \(value): a number") }
      mark = number
    default: throw UsageError(text: "\(option): unknown")
    }
  }

  /// `URL` or `URL,PERCENT`: the collector, and how many of the traces that begin here are recorded.
  static func tracing(_ text: String) throws(UsageError) -> Tracing {
    let parts = text.split(separator: ",", maxSplits: 1, omittingEmptySubsequences: false)
    let sampling = parts.count == 2 ? Double(parts[1]) : 100
    guard let sampling, let tracing = Tracing(String(parts[0]), sampling: sampling) else {
      throw UsageError(text: "--otlp \(text): expected http://IP:PORT[/PATH][,PERCENT]")
    }
    return tracing
  }

  func configuration() throws(SystemError) -> SidecarConfiguration {
    var configuration = SidecarConfiguration()
    configuration.pod = pod
    configuration.mark = mark
    configuration.accessLog = accessLog ? .standardOutput : .off
    if security != .none {
      var certificates = Certificates(
        chain: try SmallFile.read(certificatePath), privateKey: try SmallFile.read(keyPath),
        trustedRoots: try SmallFile.read(caPath))
      // They were made by hand: `openssl x509 -req` leaves it out unless it is told.
      certificates.requiresKeyUsage = false
      configuration.certificates = certificates
    }
    if security == .inbound {
      configuration.inbound = [
        InboundPort(port: listen.port, service: "static", target: upstream[0], applicationProtocol, mutualTLS: .strict)
      ]
      configuration.listeners = [Listener(listen, .inbound(port: listen.port))]
      return configuration
    }
    var cluster = Cluster("static", upstream.map { Endpoint($0) })
    cluster.circuitBreaker = CircuitBreaker(connections: 65536, pending: 65536, requests: 65536)
    if security == .outbound { cluster.tls = UpstreamTLS() }
    cluster.usesHTTP2 = applicationProtocol == .http2
    configuration.clusters = [cluster]
    configuration.services = [
      Service("static", applicationProtocol, routes: [RouteRule(backends: [WeightedBackend("static")])])
    ]
    configuration.listeners = [Listener(listen, .outbound(service: "static"))]
    return configuration
  }
}
