import Glibc

@testable import TLS
import Testing

@Suite struct ResumptionTests {
  private let mesh: MeshFixture

  init() throws { mesh = try MeshFixture() }

  /// A session from a first connection between the two.
  private func session(_ client: TLSContext, _ server: TLSContext) throws -> TLSSession {
    let loopback = try Loopback(client: client, server: server)
    var session: TLSSession?
    loopback.client.newSession = { session = $0 }
    #expect(loopback.handshake() == (.done, .done))
    #expect(!loopback.client.isResumed)
    #expect(loopback.client.read().0 == .wantsRead)  // the ticket, and no data
    return try #require(session)
  }

  @Test func aServerResumesAndBothKnowWhoTheOtherIs() throws {
    let client = try mesh.context(.client, "web")
    let server = try mesh.context(.server, "db")
    let loopback = try Loopback(client: client, server: server, resuming: session(client, server))
    #expect(loopback.handshake() == (.done, .done))
    #expect(loopback.client.isResumed && loopback.server.isResumed)
    #expect(loopback.server.peer?.description == "spiffe://lab/ns/default/sa/web")
    #expect(loopback.client.peer?.description == "spiffe://lab/ns/default/sa/db")
    #expect(loopback.client.write("x") == .bytes(1))
    #expect(loopback.server.read().1 == Array("x".utf8))
  }

  @Test func aSessionCanBeUsedAgainAndAsBytes() throws {
    let client = try mesh.context(.client, "web")
    let server = try mesh.context(.server, "db")
    let bytes = try session(client, server).serialized
    let held = try #require(TLSSession(serialized: bytes, context: client))
    for _ in 0..<2 {
      let loopback = try Loopback(client: client, server: server, resuming: held)
      #expect(loopback.handshake() == (.done, .done))
      #expect(loopback.client.isResumed)
    }
    for _ in 0..<3 {
      let restored = try #require(TLSSession(serialized: bytes, context: client))
      let loopback = try Loopback(client: client, server: server, resuming: restored)
      #expect(loopback.handshake() == (.done, .done))
      #expect(loopback.client.isResumed)
    }
    #expect(TLSSession(serialized: Array(bytes.dropLast(200)), context: client) == nil)
    #expect(TLSSession(serialized: [], context: client) == nil)
  }

  @Test func anotherServerMeansAFullHandshake() throws {
    let client = try mesh.context(.client, "web")
    let first = try session(client, mesh.context(.server, "db"))
    let loopback = try Loopback(client: client, server: mesh.context(.server, "db"), resuming: first)
    #expect(loopback.handshake() == (.done, .done))
    #expect(!loopback.client.isResumed)
  }

  @Test func aSessionEndsWithItsPeersCertificate() throws {
    // From the real time on: what is kept is compared with the clock.
    let now = Int64(time(nil))
    let authority = try CertificateAuthority.make(trustDomain: "lab", now: now)
    func context(_ role: TLSContext.Role, _ account: String, _ lifetime: Int64) throws -> TLSContext {
      let id = try #require(SPIFFEID(trustDomain: "lab", serviceAccount: account))
      let certificate = try authority.issue(identity: id, dnsNames: [account], lifetime: lifetime, now: now)
      return try TLSContext(
        role: role, certificateChain: certificate.chain, privateKey: certificate.privateKey,
        trustedRoots: authority.certificate)
    }
    let server = try context(.server, "db", 86_400)
    let lasting = try context(.client, "web", 86_400)
    var first = try session(lasting, server)
    #expect(first.lifetime == 3600)
    let short = try context(.client, "cache", 600)
    _ = try session(short, server)
    // What the server keeps is known from what it hands out at the next resumption.
    first = try session(short, server)
    let loopback = try Loopback(client: short, server: server, resuming: first)
    var next: TLSSession?
    loopback.client.newSession = { next = $0 }
    #expect(loopback.handshake() == (.done, .done))
    #expect(loopback.client.isResumed && loopback.client.read().0 == .wantsRead)
    #expect(try #require(next).lifetime <= 600)
  }

  @Test func aSessionDoesNotOutliveTheTrustThatItBeganWith() throws {
    // The server trusts another authority now.
    let other = try MeshFixture()
    let client = try mesh.context(.client, "web")
    let first = try session(client, mesh.context(.server, "db"))
    let loopback = try Loopback(
      client: client, server: mesh.context(.server, "db", roots: other.authority.certificate),
      resuming: first)
    #expect(reason(loopback.handshake().server) == .unknownAuthority)
  }

  @Test func aSessionIsNoOneElses() throws {
    // A client that is someone else now must not be taken for whom the ticket names.
    let server = try mesh.context(.server, "db")
    let first = try session(mesh.context(.client, "web"), server)
    let other = try mesh.context(.client, "cache")
    #expect(TLSSession(serialized: first.serialized, context: other) == nil)
    let loopback = try Loopback(client: other, server: server, resuming: first)
    #expect(loopback.handshake() == (.done, .done))
    #expect(!loopback.client.isResumed)
    #expect(loopback.server.peer?.path == "/ns/default/sa/cache")
    // A new certificate of the same one is no obstacle.
    let renewed = try Loopback(client: mesh.context(.client, "web"), server: server, resuming: first)
    #expect(renewed.handshake() == (.done, .done))
    #expect(renewed.client.isResumed)
  }

  @Test func whoIsNoLongerWantedIsNotResumed() throws {
    let client = try mesh.context(.client, "web")
    let server = try mesh.context(.server, "db")
    let first = try session(client, server)
    let loopback = try Loopback(client: client, server: server, resuming: first, serverAuthorize: { _ in false })
    let web = try #require(SPIFFEID("spiffe://lab/ns/default/sa/web"))
    #expect(reason(loopback.handshake().server) == .notAuthorized(web))
  }

  @Test func aClientDoesNotOfferASessionWithAServerThatItNoLongerWants() throws {
    let client = try mesh.context(.client, "web")
    let server = try mesh.context(.server, "db")
    let first = try session(client, server)
    let loopback = try Loopback(client: client, server: server, resuming: first, clientAuthorize: { _ in false })
    let db = try #require(SPIFFEID("spiffe://lab/ns/default/sa/db"))
    #expect(reason(loopback.handshake().client) == .notAuthorized(db))
  }

  @Test func aTicketOfAServerThatVerifiesNobodyIsWorthNothingToOneThatDoes() throws {
    let bare = try TLSContext(
      role: .client, certificateChain: nil, privateKey: nil, trustedRoots: mesh.authority.certificate)
    let first = try session(bare, mesh.context(.server, "db", verify: .none))
    let loopback = try Loopback(
      client: bare, server: mesh.context(.server, "db"), resuming: first)
    #expect(reason(loopback.handshake().server) == .noCertificate)
  }
}
