import Glibc
import TLS
import Testing

/// Whom a handshake lets in, and what the other side hears. Alerts are those of RFC 8446 section 6.
@Suite struct VerificationTests {
  private let mesh: MeshFixture
  private let now = MeshFixture.now

  init() throws { mesh = try MeshFixture() }

  /// What a server says to a client with this certificate, and what the client hears.
  private func refusal(
    of certificate: IssuedCertificate, trusting roots: [UInt8]? = nil,
    authorize: (@Sendable (SPIFFEID) -> Bool)? = nil
  ) throws -> (server: TLSFailure.Reason?, client: TLSFailure.Reason?) {
    let loopback = try Loopback(
      client: mesh.context(.client, "web", certificate: certificate),
      server: mesh.context(.server, "db", roots: roots), serverAuthorize: authorize)
    let (client, server) = loopback.handshake()
    #expect(client == .done)  // before the server has seen the certificate
    #expect(loopback.server.peer == nil)
    let heard = loopback.client.read().0
    guard case .failed(let failure) = heard else { return (reason(server), nil) }
    return (reason(server), failure.reason)
  }

  @Test func anExpiredCertificateIsRefused() throws {
    let expired = try mesh.issue("web", lifetime: 60, now: now - 120)
    #expect(try refusal(of: expired) == (.certificateExpired, .alert(45)))
  }

  @Test func aCertificateOfTheFutureIsRefused() throws {
    let early = try mesh.issue("web", now: now + 600)
    #expect(try refusal(of: early) == (.certificateNotYetValid, .alert(42)))
  }

  @Test func anotherAuthorityIsUnknown() throws {
    let other = try MeshFixture(trustDomain: "lab")
    #expect(try refusal(of: other.issue("web")) == (.unknownAuthority, .alert(48)))
  }

  @Test func aPeerThatIsNotWantedIsRefusedInTheHandshake() throws {
    let web = try #require(SPIFFEID("spiffe://lab/ns/default/sa/web"))
    let result = try refusal(of: mesh.issue("web")) { $0.path == "/ns/default/sa/client" }
    #expect(result == (.notAuthorized(web), .alert(42)))
  }

  @Test func aClientRefusesAServerThatItDoesNotWant() throws {
    let loopback = try Loopback(
      client: mesh.context(.client, "web"), server: mesh.context(.server, "db"),
      clientAuthorize: { $0.path == "/ns/default/sa/cache" })
    let (client, server) = loopback.handshake()
    let db = try #require(SPIFFEID("spiffe://lab/ns/default/sa/db"))
    #expect(reason(client) == .notAuthorized(db))
    #expect(reason(server) == .alert(42))
  }

  @Test func aClientWithoutCertificateIsRefused() throws {
    let bare = try TLSContext(
      role: .client, certificateChain: nil, privateKey: nil, trustedRoots: mesh.authority.certificate)
    let loopback = try Loopback(client: bare, server: mesh.context(.server, "db"))
    #expect(reason(loopback.handshake().server) == .noCertificate)
    guard case .failed(let failure) = loopback.client.read().0 else {
      Issue.record("the client heard nothing")
      return
    }
    #expect(failure.reason == .alert(116))  // certificate_required
  }

  @Test func whoVerifiesNobodyTakesEveryone() throws {
    let bare = try TLSContext(
      role: .client, certificateChain: nil, privateKey: nil, trustedRoots: [], verify: .none)
    let loopback = try Loopback(client: bare, server: mesh.context(.server, "db", verify: .none))
    #expect(loopback.handshake() == (.done, .done))
    #expect(loopback.client.peer == nil && loopback.server.peer == nil)
  }

  @Test func trustDomainsThatTrustEachOtherCanTalk() throws {
    let other = try MeshFixture(trustDomain: "other")
    let both = mesh.authority.certificate + other.authority.certificate
    let loopback = try Loopback(
      client: mesh.context(.client, "web", roots: both),
      server: mesh.context(.server, "db", certificate: other.issue("db"), roots: both))
    #expect(loopback.handshake() == (.done, .done))
    #expect(loopback.client.peer?.trustDomain == "other")
    #expect(loopback.server.peer?.trustDomain == "lab")
  }
}
