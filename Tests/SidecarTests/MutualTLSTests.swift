import Foundation
import NetTypes
import TLS
import Testing

@testable import Sidecar

/// Two sidecars of one mesh in front of a server: the client's in front of the test, the server's in front of the origin.
struct Mesh {
  let authority: CertificateAuthority
  let now = Int64(Date().timeIntervalSince1970)

  init() throws { authority = try CertificateAuthority.make(trustDomain: "lab", now: now) }

  func certificates(_ account: String, by other: CertificateAuthority? = nil, lifetime: Int64 = 3600, at: Int64? = nil)
    throws -> Certificates
  {
    let issuer = other ?? authority
    let identity = try #require(SPIFFEID(trustDomain: "lab", serviceAccount: account))
    let issued = try issuer.issue(identity: identity, lifetime: lifetime, now: at ?? now)
    return Certificates(chain: issued.chain, privateKey: issued.privateKey, trustedRoots: authority.certificate)
  }

  func server(
    _ applicationProtocol: ApplicationProtocol, _ origin: UInt16, _ mode: InboundPort.MutualTLS = .strict,
    allowed: Set<String>? = nil
  ) throws -> Running {
    var configuration = SidecarConfiguration()
    configuration.pod = "web-1"
    configuration.certificates = try certificates("web")
    let listener = Listener(Setup.loopback(0), .inbound(port: 80))
    configuration.listeners = [listener]
    configuration.inbound = [
      InboundPort(
        port: 80, service: "web", target: Setup.loopback(origin), applicationProtocol, mutualTLS: mode, allowed: allowed
      )
    ]
    let sidecar = try Sidecar(configuration)
    return Running(sidecar: sidecar, port: try #require(sidecar.localAddress(of: listener)?.port))
  }

  func client(
    _ applicationProtocol: ApplicationProtocol, _ server: UInt16, account: String = "client",
    identities: Set<String>? = ["spiffe://lab/ns/default/sa/web"], certificates: Certificates? = nil
  ) throws -> Running {
    var cluster = Setup.cluster("web", server)
    cluster.tls = UpstreamTLS(identities: identities)
    cluster.usesHTTP2 = applicationProtocol == .http2 || applicationProtocol == .grpc
    var setup = Setup(applicationProtocol, [cluster])
    setup.configuration.certificates = try certificates ?? self.certificates(account)
    return try setup.start()
  }
}

@Suite struct MutualTLSTests {
  @Test("HTTP passes between two sidecars over one connection by TLS")
  func http() throws {
    let mesh = try Mesh()
    let origin = Origin.http { head, body in response("\(head.split(separator: " ")[1]) \(body)") }
    let server = try mesh.server(.http, origin.port)
    let client = try mesh.client(.http, server.port)
    for number in 0..<20 { #expect(try client.get("/\(number)").body == "/\(number) ") }
    #expect(server.metric("netloom_tls_handshakes_total", "direction=\"inbound\"", "cluster=\"\"") == 1)
    #expect(origin.accepted == 1)
    let large = String(repeating: "abcdefgh", count: 40000)
    #expect(try curl(["-d", "@-", "http://127.0.0.1:\(client.port)/"], input: large) == "/ \(large)")
  }

  @Test("TCP passes with its ends, and further connections resume the session")
  func tcp() throws {
    let mesh = try Mesh()
    let origin = Origin { peer in peer.write("\(peer.readAll().utf8.count) bytes") }
    let server = try mesh.server(.tcp, origin.port)
    let client = try mesh.client(.tcp, server.port)
    for round in 0..<4 {
      let peer = try client.connect()
      peer.write([UInt8](repeating: 120, count: 300_000 + round))
      peer.endWriting()
      #expect(peer.readAll() == "\(300_000 + round) bytes")
    }
    #expect(client.metric("netloom_tls_handshakes_resumed_total", "cluster=\"web\"") == 3)
  }

  @Test("a strict port refuses plain text, a permissive one takes both")
  func modes() throws {
    let mesh = try Mesh()
    let origin = Origin.http { _, _ in response("ok") }
    let strict = try mesh.server(.http, origin.port)
    #expect(try !strict.get().text.contains("200"))
    #expect(origin.accepted == 0)
    #expect(strict.metric("netloom_refusals_total", "reason=\"tls-plain-text\"") == 1)
    let permissive = try mesh.server(.http, origin.port, .permissive)
    #expect(try permissive.get().body == "ok")
    #expect(try mesh.client(.http, permissive.port).get().body == "ok")
  }

  @Test("who may not is told so: 403 with the identity; TCP ends")
  func authorization() throws {
    let mesh = try Mesh()
    let origin = Origin.http { _, _ in response("ok") }
    let allowed: Set = ["spiffe://lab/ns/default/sa/client"]
    let server = try mesh.server(.http, origin.port, allowed: allowed)
    #expect(try mesh.client(.http, server.port, account: "client").get().body == "ok")
    let answer = try mesh.client(.http, server.port, account: "stranger").get()
    #expect(answer.status == 403)
    #expect(
      answer.field("netloom-refused")
        == "web-1/inbound; not-authorized identity=spiffe://lab/ns/default/sa/stranger service=web")
    let tcp = try mesh.server(.tcp, Origin { $0.write("secret") }.port, allowed: allowed)
    #expect(try mesh.client(.tcp, tcp.port, account: "client").connect().readAll() == "secret")
    #expect(try mesh.client(.tcp, tcp.port, account: "stranger").connect().readAll() == "")
  }

  @Test("a server that is another service is not spoken to")
  func wrongServer() throws {
    let mesh = try Mesh()
    let origin = Origin.http { _, _ in response("ok") }
    let server = try mesh.server(.http, origin.port)
    let answer = try mesh.client(.http, server.port, identities: ["spiffe://lab/ns/default/sa/other"]).get()
    #expect(answer.status == 503)
    #expect(answer.field("netloom-refused")?.contains("connect-failed") == true)
    #expect(origin.accepted == 0)
  }

  @Test("certificates of another authority and expired ones are refused")
  func foreignCertificates() throws {
    let mesh = try Mesh()
    let origin = Origin.http { _, _ in response("ok") }
    let server = try mesh.server(.http, origin.port)
    let foreign = try CertificateAuthority.make(trustDomain: "lab", now: mesh.now)
    for (certificates, reason) in [
      (try mesh.certificates("client", by: foreign), "unknown-authority"),
      (try mesh.certificates("client", lifetime: 60, at: mesh.now - 3600), "certificate-expired"),
      (try mesh.certificates("client", lifetime: 60, at: mesh.now + 3600), "certificate-not-yet-valid"),
    ] {
      // The client has sent its request before it hears of the refusal, which TLS 1.3 tells after the handshake.
      let answer = try mesh.client(.http, server.port, certificates: certificates).get()
      #expect(answer.status == 502)
      #expect(answer.field("netloom-refused")?.contains("upstream-failed") == true)
      #expect(server.metric("netloom_refusals_total", "reason=\"tls-\(reason)\"") == 1, "\(reason)")
    }
    #expect(origin.accepted == 0)
  }

  @Test("a server with a certificate of another authority, or an expired one, is not spoken to, and why is said")
  func foreignServers() throws {
    let mesh = try Mesh()
    let origin = Origin.http { _, _ in response("ok") }
    let server = try mesh.server(.http, origin.port)
    let foreign = try CertificateAuthority.make(trustDomain: "lab", now: mesh.now)
    let client = try mesh.client(.http, server.port)
    for certificates in [
      try mesh.certificates("web", by: foreign), try mesh.certificates("web", lifetime: 60, at: mesh.now - 3600),
    ] {
      var configuration = server.sidecar.configuration
      configuration.certificates = certificates
      try server.sidecar.apply(configuration)
      let answer = try client.get()
      #expect(answer.status == 503)
      #expect(answer.field("netloom-refused")?.contains("connect-failed") == true)
      #expect(answer.field("netloom-refused")?.contains("because=tls") == true)
    }
    #expect(origin.accepted == 0)
  }

  @Test("what a client offers by ALPN must be what the port carries")
  func alpn() throws {
    let mesh = try Mesh()
    let origin = Origin { $0.write("secret") }
    let server = try mesh.server(.tcp, origin.port)
    let certificates = try mesh.certificates("client")
    // A client of HTTP at a port of TCP.
    let answer = try mesh.client(.http, server.port, certificates: certificates).get()
    #expect(answer.status == 503)
    #expect(server.metric("netloom_refusals_total", "reason=\"tls-no-common-protocol\"") ?? 0 > 0)
    #expect(origin.accepted == 0)
    #expect(try mesh.client(.tcp, server.port).connect().readAll() == "secret")
  }

  @Test("key log lines go to whoever asks while he asks, and are of the handshakes of that time")
  func keyLog() throws {
    let mesh = try Mesh()
    let origin = Origin.http { _, _ in response("ok") }
    let server = try mesh.server(.http, origin.port)
    let client = try mesh.client(.http, server.port)
    #expect(try client.get().status == 200)
    let admin = try Admin(client.sidecar)
    let log = try admin.follow("/keylog")
    // The connection that was idle has been closed: this request shakes hands anew.
    #expect(try client.get().status == 200)
    var labels: Set<String> = []
    for _ in 0..<5 {
      let line = try #require(log.read(until: "\n"))
      #expect(line.wholeMatch(of: /[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]{64,96}\n/) != nil, "\(line)")
      labels.insert(String(line.prefix { $0 != " " }))
    }
    #expect(labels.isSuperset(of: ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"]))
    #expect(!server.sidecar.observation.keys.isActive)
  }

  @Test("new certificates come into force without a lost request")
  func rotation() throws {
    let mesh = try Mesh()
    let origin = Origin.http { _, _ in response("ok") }
    let server = try mesh.server(.http, origin.port)
    let client = try mesh.client(.http, server.port)
    let peer = try client.connect()
    for round in 0..<20 {
      peer.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
      #expect(peer.read(until: "\r\n\r\nok")?.hasPrefix("HTTP/1.1 200") == true)
      let running = round % 2 == 0 ? client : server
      var configuration = running.sidecar.configuration
      configuration.certificates = try mesh.certificates(round % 2 == 0 ? "client" : "web")
      try running.sidecar.apply(configuration)
    }
  }
}
