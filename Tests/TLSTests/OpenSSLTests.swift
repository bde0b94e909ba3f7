import Foundation
import Synchronization
import TLS
import Testing

/// What the openssl program makes of our certificates and connections, and we of its.
@Suite struct OpenSSLTests {
  private let openssl: OpenSSL
  private let mesh: MeshFixture

  init() throws {
    openssl = try OpenSSL()
    mesh = try MeshFixture()
    try openssl.write("root.pem", mesh.authority.certificate)
    for name in ["web", "server"] { try write(mesh.issue(name), name) }
  }

  private func write(_ certificate: IssuedCertificate, _ name: String) throws {
    try openssl.write("\(name).pem", certificate.chain)
    try openssl.write("\(name).key", certificate.privateKey)
  }

  /// s_client, with the certificate of `web`.
  private func client(_ port: UInt16, _ arguments: [String], input: String = "") throws -> (status: Int32, text: String)
  {
    try openssl.run(
      ["s_client", "-connect", "127.0.0.1:\(port)", "-CAfile", "root.pem", "-cert", "web.pem", "-key", "web.key"]
        + arguments, input: Array(input.utf8))
  }

  // MARK: Certificates

  @Test func chainsVerify() throws {
    let result = try openssl.run(
      ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "root.pem", "server.pem"])
    #expect(result.text == "server.pem: OK\n")
    let client = try openssl.run(
      ["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "root.pem", "server.pem"])
    #expect(client.text == "server.pem: OK\n")
  }

  @Test func aLeafIsAnX509SVID() throws {
    let issued = try mesh.issue("web", lifetime: 600)
    try openssl.write("leaf.pem", issued.chain)
    let text = try openssl.run(["x509", "-in", "leaf.pem", "-noout", "-text", "-serial"]).text
    let squeezed = text.replacing(/\s+/, with: " ")
    for expected in [
      "X509v3 Subject Alternative Name: critical URI:spiffe://lab/ns/default/sa/web, DNS:web",
      "X509v3 Basic Constraints: critical CA:FALSE", "X509v3 Key Usage: critical Digital Signature X509v3",
      "X509v3 Extended Key Usage: TLS Web Server Authentication, TLS Web Client Authentication",
      "Subject: Subject Public",
      "ASN1 OID: prime256v1", "Issuer: CN = lab mesh root", "Signature Algorithm: ecdsa-with-SHA256",
      "X509v3 Authority Key Identifier:", "serial=\(issued.serial)",
    ] {
      #expect(squeezed.contains(expected), "\(expected) in \(text)")
    }
    // Valid from a minute before until ten minutes after.
    let dates = try openssl.run(["x509", "-in", "leaf.pem", "-noout", "-startdate", "-enddate", "-dateopt", "iso_8601"])
    let format = ISO8601DateFormatter()
    format.formatOptions = [.withInternetDateTime, .withSpaceBetweenDateAndTime]
    let seconds = dates.text.matches(of: /=(.*Z)/).compactMap { format.date(from: String($0.1)) }.map {
      Int64($0.timeIntervalSince1970)
    }
    #expect(seconds == [MeshFixture.now - 60, MeshFixture.now + 600])
  }

  @Test func aRootSignsLeavesOnly() throws {
    let text = try openssl.run(["x509", "-in", "root.pem", "-noout", "-text"]).text.replacing(/\s+/, with: " ")
    #expect(text.contains("X509v3 Basic Constraints: critical CA:TRUE, pathlen:0"))
    #expect(text.contains("X509v3 Key Usage: critical Certificate Sign, CRL Sign"))
    #expect(text.contains("URI:spiffe://lab"))
  }

  @Test func anAuthorityIsRestoredFromItsText() throws {
    let restored = try CertificateAuthority(
      certificate: mesh.authority.certificate, privateKey: mesh.authority.privateKey)
    #expect(restored.trustDomain == "lab")
    #expect(restored.notAfter == MeshFixture.now + 3650 * 86400)
    let id = try #require(SPIFFEID("spiffe://lab/ns/default/sa/web"))
    try openssl.write("again.pem", restored.issue(identity: id, lifetime: 60, now: MeshFixture.now).chain)
    #expect(try openssl.run(["verify", "-CAfile", "root.pem", "again.pem"]).text == "again.pem: OK\n")
  }

  @Test func whatIsNoAuthorityIsRefused() throws {
    let other = try MeshFixture()
    let leaf = try mesh.issue("web")
    #expect(throws: TLSSetupError.self) {
      try CertificateAuthority(certificate: mesh.authority.certificate, privateKey: other.authority.privateKey)
    }
    #expect(throws: TLSSetupError.self) {
      try CertificateAuthority(certificate: leaf.chain, privateKey: leaf.privateKey)
    }
    #expect(throws: TLSSetupError.self) { try CertificateAuthority(certificate: [], privateKey: []) }
    #expect(throws: TLSSetupError.self) { try CertificateAuthority.make(trustDomain: "Lab/x", now: 0) }
  }

  @Test func whatMayNotBeIssuedIsRefused() throws {
    let now = MeshFixture.now
    let web = try #require(SPIFFEID("spiffe://lab/ns/default/sa/web"))
    let stranger = try #require(SPIFFEID("spiffe://other/ns/default/sa/web"))
    let nobody = try #require(SPIFFEID("spiffe://lab"))
    for id in [stranger, nobody] {
      #expect(throws: TLSSetupError.self) { try mesh.authority.issue(identity: id, lifetime: 60, now: now) }
    }
    for name in ["a,URI:spiffe://lab/b", "", "a b", "a\0"] {
      #expect(throws: TLSSetupError.self) {
        try mesh.authority.issue(identity: web, dnsNames: [name], lifetime: 60, now: now)
      }
    }
    #expect(throws: TLSSetupError.self) { try mesh.authority.issue(identity: web, lifetime: 0, now: now) }
    // The root ends first.
    let last = try mesh.authority.issue(identity: web, lifetime: 1 << 40, now: now)
    #expect(last.notAfter == mesh.authority.notAfter)
  }

  @Test func encryptedKeysAndForeignKeysAreRefused() throws {
    try openssl.run(["pkcs8", "-topk8", "-in", "web.key", "-out", "encrypted.key", "-passout", "pass:secret"])
    let web = try openssl.read("web.pem")
    for key in [try openssl.read("encrypted.key"), try openssl.read("server.key"), []] {
      #expect(throws: TLSSetupError.self) {
        try TLSContext(
          role: .server, certificateChain: web, privateKey: key, trustedRoots: mesh.authority.certificate)
      }
    }
  }

  // MARK: s_client to our server

  @Test func sClientTalksAndResumes() throws {
    let alpn = ["-alpn", "netloom-tcp,h2"]
    let first = try EchoServer(mesh.context(.server, "db", alpn: ["h2"]))
    let full = try client(first.port, alpn + ["-ign_eof", "-sess_out", "session"], input: "bye\n")
    #expect(full.text.contains("New, TLSv1.3, Cipher is TLS_AES_"), "\(full.text)")
    #expect(full.text.contains("Verification: OK"))
    #expect(full.text.contains("ALPN protocol: h2"))
    let resumed = try client(first.port, alpn + ["-sess_in", "session"])
    #expect(resumed.text.contains("Reused, TLSv1.3, Cipher is TLS_AES_"), "\(resumed.text)")
    let third = try EchoServer(mesh.context(.server, "db", alpn: ["h2"]))
    #expect(try client(third.port, alpn + ["-sess_in", "session"]).text.contains("New, TLSv1.3"))
  }

  @Test func aMegabyteComesBackThroughTCP() throws {
    let server = try EchoServer(mesh.context(.server, "db"), bufferBytes: 4096)
    let client = try BlockingClient(port: server.port, mesh.context(.client, "web"), bufferBytes: 4096)
    #expect(client.handshake() == .done)
    let body = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 5) }
    #expect(try client.exchange(body) == body)
    #expect(client.tls.shutdown() == .done)
    #expect(client.read().0 == .closed)
  }

  @Test func sClientOfTLS12IsRefused() throws {
    let server = try EchoServer(mesh.context(.server, "db"))
    let result = try client(server.port, ["-tls1_2"])
    #expect(result.text.contains("alert protocol version"), "\(result.text)")
  }

  @Test func curlHearsWhyItIsRefused() throws {
    let server = try EchoServer(mesh.context(.server, "db"))
    let result = try openssl.run(
      [
        "-sS", "--max-time", "10", "--cacert", "root.pem", "--resolve", "db:\(server.port):127.0.0.1",
        "https://db:\(server.port)/",
      ],
      program: "curl")
    #expect(result.text.contains("alert certificate required"), "\(result.text)")
  }

  // MARK: Our client to s_server

  @Test func ourClientTalksAndResumes() throws {
    let server = try OpenSSLServer(
      openssl, ["-CAfile", "root.pem", "-Verify", "1", "-verify_return_error", "-alpn", "netloom-tcp"])
    let context = try mesh.context(.client, "web", alpn: ["h2", "netloom-tcp"])
    var session: TLSSession?
    for round in 0..<3 {
      let client = try BlockingClient(port: server.port, context, serverName: "server", resuming: session)
      client.tls.newSession = { session = $0 }
      #expect(client.handshake() == .done)
      #expect(client.tls.isResumed == (round > 0))
      #expect(client.tls.peer?.description == "spiffe://lab/ns/default/sa/server")
      #expect(client.tls.negotiatedProtocol == "netloom-tcp")
      try client.write(Array("stressed\n".utf8))
      #expect(client.read().1 == Array("desserts\n".utf8))
      try #require(session != nil)
    }
  }

  @Test func ourClientRefusesWhatHasNoSPIFFEID() throws {
    // The same authority, a name and no ID.
    try openssl.write("root.key", mesh.authority.privateKey)
    try openssl.run([
      "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key", "-subj",
      "/CN=server", "-out", "request",
    ])
    func sign(_ extensions: String) throws -> TLSProgress {
      try openssl.write("extensions", Array(extensions.utf8))
      try openssl.run([
        "x509", "-req", "-in", "request", "-CA", "root.pem", "-CAkey", "root.key", "-days", "1", "-extfile",
        "extensions", "-out", "server.pem",
      ])
      let server = try OpenSSLServer(openssl, [])
      return try BlockingClient(port: server.port, mesh.context(.client, "web")).handshake()
    }
    let usage = "keyUsage=critical,digitalSignature\n"
    #expect(reason(try sign(usage + "subjectAltName=DNS:server\n")) == .noIdentity)
    #expect(reason(try sign(usage + "subjectAltName=URI:https://lab/a\n")) == .noIdentity)
    #expect(reason(try sign(usage + "subjectAltName=URI:spiffe://lab/a,URI:spiffe://lab/b\n")) == .noIdentity)
    #expect(reason(try sign(usage)) == .noIdentity)
    #expect(
      reason(try sign("subjectAltName=URI:spiffe://lab/a\nkeyUsage=critical,digitalSignature,keyCertSign\n"))
        == .certificateInvalid)
    #expect(
      reason(try sign("subjectAltName=URI:spiffe://lab/a\n" + usage + "basicConstraints=critical,CA:TRUE\n"))
        == .certificateInvalid)
    #expect(
      reason(try sign(usage + "extendedKeyUsage=clientAuth\nsubjectAltName=URI:spiffe://lab/a\n"))
        == .certificateInvalid)
    // A root of one trust domain does not vouch for another's.
    #expect(reason(try sign(usage + "subjectAltName=URI:spiffe://other/a\n")) == .unknownAuthority)
    #expect(try sign(usage + "subjectAltName=URI:spiffe://lab/a\n") == .done)
  }

  @Test func ourClientKnowsATLS12Server() throws {
    let server = try OpenSSLServer(openssl, ["-tls1_2"])
    let progress = try BlockingClient(port: server.port, mesh.context(.client, "web")).handshake()
    #expect([.alert(70), .protocolVersion].contains(reason(progress)), "\(progress)")
  }

  @Test func theKeyLogHoldsTheSecretsThatThePeerHas() throws {
    let server = try OpenSSLServer(openssl, ["-keylogfile", "keys"])
    let lines = Mutex<Set<String>>([])
    let context = try TLSContext(
      role: .client, certificateChain: nil, privateKey: nil, trustedRoots: mesh.authority.certificate,
      keyLog: { line in lines.withLock { _ = $0.insert(line) } })
    let client = try BlockingClient(port: server.port, context)
    #expect(client.handshake() == .done)
    try client.write(Array("abc\n".utf8))
    #expect(client.read().1 == Array("cba\n".utf8))  // by now the server has all of its secrets
    let theirs = String(decoding: try openssl.read("keys"), as: UTF8.self).split(separator: "\n").map(String.init)
    let secrets = Set(theirs.filter { !$0.hasPrefix("#") })
    #expect(secrets.count >= 4)
    #expect(lines.withLock { $0 } == secrets)
  }

  @Test func ourClientTellsAnEndFromACut() throws {
    var server: OpenSSLServer? = try OpenSSLServer(openssl, [])
    let port = try #require(server?.port)
    do {
      let client = try BlockingClient(port: port, mesh.context(.client, "web"))
      #expect(client.handshake() == .done)
      try client.write(Array("CLOSE\n".utf8))  // -rev ends the connection at this, with close_notify
      #expect(client.read().0 == .closed)
    }
    let other = try BlockingClient(port: port, mesh.context(.client, "web"))
    #expect(other.handshake() == .done)
    try other.write(Array("abc\n".utf8))
    #expect(other.read().1 == Array("cba\n".utf8))
    server = nil  // killed: the kernel closes its connections
    #expect(other.read().0 == .truncated)
  }
}
