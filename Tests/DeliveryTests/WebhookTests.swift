import Foundation
import Images
import Lab
import Testing

@testable import Delivery

@Suite struct WebhookTests {
  private let scratch = Scratch()

  private func post(_ address: String, secret: String? = nil, retries: Int = 3) async throws -> Webhook.Outcome {
    var hook = Webhook(address: address, secret: secret, retries: retries)
    hook.pause = 0.01
    hook.limit = 2
    return try await hook.post(
      "{\"event\":\"released\"}", event: "released", delivery: "web/1/released/0", Shell(directory: scratch.path),
      folder: scratch.path)
  }

  @Test func anEndpointGetsTheBodyItsKindAndASignature() async throws {
    let receiver = try HookReceiver([204])
    defer { receiver.stop() }
    let outcome = try await post(receiver.address, secret: "It's a Secret to Everybody")
    #expect(outcome == Webhook.Outcome(attempts: 1, error: nil))
    let request = try #require(receiver.requests.first)
    #expect(request.head.hasPrefix("POST /hook HTTP/1.1") && request.body == "{\"event\":\"released\"}")
    #expect(request.field("Content-Type") == "application/json" && request.field("X-Netloom-Event") == "released")
    let signed = try openssl("{\"event\":\"released\"}", "It's a Secret to Everybody")
    #expect(request.field("X-Netloom-Signature-256") == "sha256=\(signed)")
  }

  /// The example of GitHub's documentation of webhook signatures.
  @Test func theSignatureIsThatOfOthers() {
    #expect(
      Webhook.signature(of: "Hello, World!", "It's a Secret to Everybody")
        == "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
  }

  @Test func aFailureThatMayPassIsTriedAgainWithTheSameDelivery() async throws {
    let receiver = try HookReceiver([503, 429, 200])
    defer { receiver.stop() }
    #expect(try await post(receiver.address) == Webhook.Outcome(attempts: 3, error: nil))
    #expect(Set(receiver.requests.compactMap { $0.field("X-Netloom-Delivery") }) == ["web/1/released/0"])
    #expect(receiver.requests.count == 3 && receiver.requests.allSatisfy { $0.field("X-Netloom-Signature-256") == nil })
  }

  @Test func aRefusalIsNotRepeated() async throws {
    let receiver = try HookReceiver([404])
    defer { receiver.stop() }
    #expect(try await post(receiver.address) == Webhook.Outcome(attempts: 1, error: "status 404"))
  }

  @Test func anEndpointThatIsDownIsGivenUpAfterItsRetries() async throws {
    let receiver = try HookReceiver([200])
    receiver.stop()
    #expect(try await post(receiver.address, retries: 2) == Webhook.Outcome(attempts: 3, error: "no connection"))
  }

  private func openssl(_ body: String, _ secret: String) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
    process.arguments = ["dgst", "-sha256", "-hmac", secret]
    let (input, output) = (Pipe(), Pipe())
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    input.fileHandleForWriting.write(Data(body.utf8))
    try input.fileHandleForWriting.close()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return text.split(separator: " ").last.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) } ?? ""
  }
}

@Suite struct NoticeTests {
  private let scratch = Scratch()

  /// Chat services keep their token in the path.
  @Test(arguments: [
    ("https://hooks.example.org/services/T0/B0/token", "https://hooks.example.org"),
    ("http://user:pass@10.0.0.1:9000/x?token=y", "http://10.0.0.1:9000"),
    ("https://[::1]:8443#t", "https://[::1]:8443"),
    ("https://host?a=b@c/d", "https://host"),
  ])
  func anAddressIsShownWithoutItsSecrets(_ address: String, _ shown: String) {
    #expect(DeliveryStages.withoutSecrets(address) == shown)
  }

  @Test func whatDoesNotArriveIsKept() async throws {
    let receiver = try HookReceiver([200])
    receiver.stop()
    let file =
      wholeFile + """

        notify:
          - {webhook: "\(receiver.address)?token=secret", retries: 0}
          - {file: \(scratch.path)/notices.jsonl}
          - {command: "cat > \(scratch.path)/told; echo $NETLOOM_AUTHOR_EMAIL >> \(scratch.path)/told"}
        """
    var facts = RunFacts()
    facts.commit = CommitFacts(
      id: "abc", author: "Ada", email: "ada@example.org", subject: "x", time: 0, folder: scratch.path)
    facts.tests = TestFacts(total: 2, failed: [FailedTest(name: "order.sums", message: "2 is not 3")], attempts: 1)
    let run = try deployable(scratch, file, facts)
    let stages = DeliveryStages(images: .init(root: scratch.path), labs: .init(path: scratch.path), environment: [])
    await stages.notify(RunOutcome(state: .stopped, stage: .test, reason: "test: 1 of 2 tests failed"), run)
    let notices = try run.store.notices(of: run.number)
    #expect(notices.map(\.delivered) == [false, true, true])
    #expect(notices[0].error == "no connection" && notices[0].target == "webhook http://127.0.0.1:\(receiver.port)")
    let line = try String(contentsOfFile: scratch.path + "/notices.jsonl", encoding: .utf8)
    let notice = try JSONDecoder().decode(Notice.self, from: Data(line.utf8))
    #expect(notice.event == "stopped" && notice.author?.email == "ada@example.org" && notice.stage == "test")
    #expect(notice.failedTests == [FailedTest(name: "order.sums", message: "2 is not 3")])
    #expect(try String(contentsOfFile: scratch.path + "/told", encoding: .utf8) == line + "ada@example.org\n")
  }
}
