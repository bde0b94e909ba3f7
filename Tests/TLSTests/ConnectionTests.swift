import Glibc
import TLS
import Testing

@Suite struct ConnectionTests {
  let mesh: MeshFixture

  init() throws { mesh = try MeshFixture() }

  @Test func bothEndsLearnTheOthersIdentityAndProtocol() throws {
    let loopback = try Loopback(
      client: mesh.context(.client, "web", alpn: ["netloom-tcp", "h2"]),
      server: mesh.context(.server, "db", alpn: ["h2", "netloom-http/1.1"]))
    #expect(loopback.handshake() == (.done, .done))
    #expect(loopback.client.peer?.description == "spiffe://lab/ns/default/sa/db")
    #expect(loopback.server.peer?.description == "spiffe://lab/ns/default/sa/web")
    #expect(loopback.client.negotiatedProtocol == "h2")
    #expect(loopback.server.negotiatedProtocol == "h2")
    #expect(loopback.server.peerCertificateExpiry == MeshFixture.now + 3600)
  }

  @Test func nothingInCommonByALPNEndsTheHandshake() throws {
    let loopback = try Loopback(
      client: mesh.context(.client, "web", alpn: ["h2"]), server: mesh.context(.server, "db", alpn: ["netloom-tcp"]))
    let (client, server) = loopback.handshake()
    #expect(reason(server) == .noCommonProtocol)
    #expect(reason(client) == .alert(120))  // no_application_protocol, RFC 7301 section 3.2
  }

  @Test func aClientWithoutALPNIsTaken() throws {
    let loopback = try Loopback(
      client: mesh.context(.client, "web"), server: mesh.context(.server, "db", alpn: ["netloom-tcp"]))
    #expect(loopback.handshake() == (.done, .done))
    #expect(loopback.server.negotiatedProtocol == nil)
  }

  @Test func aMegabyteGoesBothWaysThroughTinyBuffers() throws {
    let loopback = try Loopback(
      client: mesh.context(.client, "web"), server: mesh.context(.server, "db"), bufferBytes: 4096)
    #expect(loopback.handshake() == (.done, .done))
    let body = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7) }
    var sent = [0, 0]
    var received: [[UInt8]] = [[], []]
    var waits = 0
    let ends = [loopback.client, loopback.server]
    var rounds = 0
    while received[0].count < body.count || received[1].count < body.count {
      rounds += 1
      try #require(rounds < 100_000)
      for (index, end) in ends.enumerated() {
        if sent[index] < body.count {
          // A copy each time: the buffer of a repeated write may lie elsewhere.
          let rest = Array(body[sent[index]...].prefix(50_000))
          switch rest.withUnsafeBytes({ end.write($0) }) {
          case .bytes(let count): sent[index] += count
          case .wantsWrite: waits += 1
          case let other: Issue.record("\(other)")
          }
        }
        let (result, bytes) = end.read(3000)
        received[index] += bytes
        if case .failed(let failure) = result { Issue.record("\(failure)") }
      }
    }
    #expect(received[0] == body && received[1] == body)
    #expect(waits > 10)
  }

  @Test func closeNotifyIsAnEndAndACutIsNot() throws {
    for isOrderly in [true, false] {
      let loopback = try Loopback(client: mesh.context(.client, "web"), server: mesh.context(.server, "db"))
      #expect(loopback.handshake() == (.done, .done))
      #expect(loopback.client.write("bye") == .bytes(3))
      if isOrderly { #expect(loopback.client.shutdown() == .done) }
      shutdown(loopback.descriptors[0], Int32(SHUT_WR))
      #expect(loopback.server.read().1 == Array("bye".utf8))
      #expect(loopback.server.read().0 == (isOrderly ? .closed : .truncated))
    }
  }

  @Test func afterCloseNotifyTheOtherDirectionGoesOn() throws {
    let loopback = try Loopback(client: mesh.context(.client, "web"), server: mesh.context(.server, "db"))
    #expect(loopback.handshake() == (.done, .done))
    #expect(loopback.client.shutdown() == .done)
    #expect(loopback.server.read().0 == .closed)
    #expect(loopback.server.write("more") == .bytes(4))
    #expect(loopback.client.read().1 == Array("more".utf8))
  }

  @Test func aReaderThatTakesLittleSeesWhatIsPending() throws {
    let loopback = try Loopback(client: mesh.context(.client, "web"), server: mesh.context(.server, "db"))
    #expect(loopback.handshake() == (.done, .done))
    _ = loopback.server.read()  // nothing yet
    #expect(loopback.client.write("abcdef") == .bytes(6))
    #expect(loopback.server.read(2).1 == Array("ab".utf8))
    #expect(loopback.server.hasPending)
    #expect(loopback.server.read(10).1 == Array("cdef".utf8))
    #expect(loopback.server.read().0 == .wantsRead)
    #expect(!loopback.server.hasPending)
  }

  @Test func aPeerThatIsGoneCostsNoSignal() throws {
    let loopback = try Loopback(client: mesh.context(.client, "web"), server: mesh.context(.server, "db"))
    #expect(loopback.handshake() == (.done, .done))
    shutdown(loopback.descriptors[1], Int32(SHUT_RDWR))
    let result = loopback.client.write("x")
    guard case .failed(let failure) = result else {
      Issue.record("\(result)")
      return
    }
    #expect(failure.reason == .reset)
  }

  @Test(arguments: [
    "GET / HTTP/1.1\r\nHost: web\r\n\r\n", "CONNECT web:1 HTTP/1.1\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "HTTP/1.1 400 Bad Request\r\n\r\n",
  ])
  func plainTextIsToldFromTLS(text: String) throws {
    for role in [TLSContext.Role.server, .client] {
      let loopback = try Loopback(client: mesh.context(.client, "web"), server: mesh.context(.server, "db"))
      let (end, raw) = role == .server ? (loopback.server, 0) : (loopback.client, 1)
      _ = end.handshake()
      try #require(send(loopback.descriptors[raw], text, text.utf8.count, 0) == text.utf8.count)
      #expect(reason(end.handshake()) == .plainText, "\(role)")
    }
  }

  @Test func randomBytesNeverCrash() throws {
    let (client, server) = try (mesh.context(.client, "web"), mesh.context(.server, "db"))
    for round in 0..<500 {
      var generator = SystemRandomNumberGenerator()
      let loopback = try Loopback(client: client, server: server)
      _ = loopback.client.handshake()
      // What the client said, with some octets changed, and then noise.
      var hello = [UInt8](repeating: 0, count: 4096)
      let count = recv(loopback.descriptors[1], &hello, hello.count, 0)
      try #require(count > 0)
      for _ in 0..<(round % 5 + 1) {
        hello[Int.random(in: 0..<count, using: &generator)] = .random(in: 0...255, using: &generator)
      }
      _ = send(loopback.descriptors[0], hello, count, 0)
      _ = loopback.server.handshake()
      let noise = (0..<100).map { _ in UInt8.random(in: 0...255, using: &generator) }
      _ = send(loopback.descriptors[0], noise, noise.count, 0)
      _ = loopback.server.handshake()
      shutdown(loopback.descriptors[0], Int32(SHUT_WR))
      #expect(reason(loopback.server.handshake()) != nil)
    }
  }

  @Test func anEndDuringTheHandshakeIsTold() throws {
    let loopback = try Loopback(client: mesh.context(.client, "web"), server: mesh.context(.server, "db"))
    shutdown(loopback.descriptors[0], Int32(SHUT_WR))
    #expect(reason(loopback.server.handshake()) == .closed)
  }
}

/// Why a step failed; nil when it did not.
func reason(_ progress: TLSProgress) -> TLSFailure.Reason? {
  guard case .failed(let failure) = progress else { return nil }
  return failure.reason
}
