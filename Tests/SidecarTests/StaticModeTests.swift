import Foundation
import NetTypes
import Testing

@testable import Sidecar

@Suite struct StaticModeTests {
  private static let openssl = FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl")

  /// Certificates as people make them by hand: no keyUsage, one SPIFFE ID beside a DNS name.
  private static func makeCertificates(in folder: String) throws {
    let script = """
      set -e; cd \(folder)
      openssl ecparam -name prime256v1 -genkey -noout -out ca.key
      openssl req -x509 -new -key ca.key -days 30 -subj /CN=bench-ca -out ca.crt
      openssl ecparam -name prime256v1 -genkey -noout -out key.pem
      openssl req -new -key key.pem -subj /CN=sidecar -out c.csr
      printf 'subjectAltName=DNS:sidecar,URI:spiffe://bench/sidecar\\nextendedKeyUsage=serverAuth,clientAuth\\n' > ext
      openssl x509 -req -in c.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile ext -out cert.pem
      openssl x509 -in cert.pem -noout -text
      """
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", script]
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    #expect(text.contains("spiffe://bench/sidecar") && !text.contains("X509v3 Key Usage"))
  }

  @Test("certificates without keyUsage are taken from the command line", .enabled(if: openssl))
  func certificates() throws {
    let folder = NSTemporaryDirectory() + "netloom-static-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try Self.makeCertificates(in: folder)
    let origin = Origin.http { _, _ in response("ok") }
    let files = ["--ca", "\(folder)/ca.crt", "--cert", "\(folder)/cert.pem", "--key", "\(folder)/key.pem"]
    let inbound = try StaticMode(
      ["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:\(origin.port)", "--http", "--in-tls"] + files)
    let server = try Sidecar(try inbound.configuration())
    defer { server.stop() }
    let serverPort = try #require(server.localAddress(of: server.configuration.listeners[0])?.port)
    let outbound = try StaticMode(
      ["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:\(serverPort)", "--http", "--out-tls"] + files)
    let client = try Sidecar(try outbound.configuration())
    defer { client.stop() }
    let port = try #require(client.localAddress(of: client.configuration.listeners[0])?.port)
    #expect(try curl(["http://127.0.0.1:\(port)/"]) == "ok")
  }

  @Test("a collector that cannot be is said", arguments: ["collector:4318", "http://127.0.0.1:4318,200"])
  func tracing(text: String) {
    #expect(throws: StaticMode.UsageError.self) {
      try StaticMode(["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--otlp", text])
    }
  }
}
