import Foundation
import Testing

/// The sample of ci/, whole: repository, registry, containers, mesh, two ISPs, and an endpoint that hears of it.
@Suite(.enabled(if: Command.isRoot, "the sample's labs run containers as root"), .serialized)
struct PipelineTests {
  /// What the tests read of `pipeline … -o json`: written against the contract.
  private struct Run: Decodable {
    struct Stage: Decodable {
      var stage: String
      var state: String
    }

    struct Judgement: Decodable {
      struct Measure: Decodable {
        var name: String
        var verdict: String
        var detail: String?
      }
      var weight: Int
      var measures: [Measure]
    }

    var run: Int
    var state: String
    var stage: String?
    var reason: String?
    var image: String?
    var commit: String?
    var stages: [Stage]
    var judgements: [Judgement]
  }

  /// One production for all versions, as in life: v1 good, v2 slow, v3 failing, v4 the other way.
  @Test(.timeLimit(.minutes(6)))
  func theSampleGoesAsItsWalkThroughSays() throws {
    let bench = try PipelineBench()
    defer { bench.end() }

    let first = try bench.run("v1", as: Run.self)
    #expect(first.exit == 0, "\(first.errors)")
    #expect(first.run.state == "released" && first.run.judgements.map(\.weight) == [5, 25, 50, 100])
    #expect(try bench.answers() == ["v1"])
    let image = try #require(first.run.image)
    #expect(image.contains("@sha256:"))

    let second = try bench.run("v2", as: Run.self)
    #expect(second.exit == 1 && second.run.state == "rolled-back" && second.run.stage == "release")
    #expect(second.run.judgements.map(\.weight) == [5])
    #expect(second.run.judgements.last?.measures.first { $0.name == "p99" }?.verdict == "violated", "\(second.errors)")
    #expect(try bench.answers() == ["v1"])

    let tags = try bench.tags()
    #expect(tags.contains(try #require(first.run.commit)))
    let third = try bench.run("v3", as: Run.self)
    #expect(third.exit == 1 && third.run.state == "stopped" && third.run.stage == "test")
    #expect(third.run.reason?.contains("order.ten pieces are a tenth cheaper") == true)
    #expect(!third.run.stages.contains { $0.stage == "package" })
    #expect(try bench.tags() == tags)

    let fourth = try bench.run("v4", as: Run.self)
    #expect(fourth.exit == 1 && fourth.run.state == "rolled-back", "\(fourth.errors)")
    let path = fourth.run.judgements.last?.measures.first { $0.name == "path" }
    #expect(path?.verdict == "violated" && path?.detail?.contains("AS64497") == true, "\(String(describing: path))")
    #expect(try bench.answers() == ["v1"])

    // Each with its notice, at a real endpoint, signed.
    let notices = try bench.notices()
    #expect(notices.map(\.event) == ["released", "rolled-back", "stopped", "rolled-back"])
    #expect(notices.allSatisfy { $0.isSigned })
    #expect(notices[2].author == "ada@example.org" && notices[2].failed == ["order.ten pieces are a tenth cheaper"])

    // The image is anybody's: pulled by skopeo, run by crun.
    #expect(try bench.pulled(image, is: "v1"))

    // Back to what served before, and forth again.
    let back = try bench.netloom(["pipeline", "rollback", "web"])
    #expect(back.exit == 0, "\(back.errors)")
    #expect(try bench.answers() == ["v0"])
    #expect(try bench.netloom(["pipeline", "rollback", "web"]).exit == 0)
    #expect(try bench.answers() == ["v1"])
  }
}

/// A copy of ci/ with a store, images and notices of its own.
private final class PipelineBench {
  struct Notice {
    var event: String
    var isSigned: Bool
    var author: String?
    var failed: [String]
  }

  let directory = "/tmp/nlp-\(getpid())-\(UInt32.random(in: 0..<1 << 24))"
  private let receiver: Process
  private var environment: [String: String] {
    ["NETLOOM_PIPELINES": directory + "/pipelines", "NETLOOM_IMAGES": directory + "/images", "HOOK_SECRET": "s3cret"]
  }

  init() throws {
    try FileManager.default.createDirectory(atPath: directory + "/ci", withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: Command.checkout + "/ci/sample", toPath: directory + "/ci/sample")
    let script = """
      import http.server, json, hmac, hashlib, sys
      class Hook(http.server.BaseHTTPRequestHandler):
          def do_POST(self):
              body = self.rfile.read(int(self.headers["content-length"]))
              wanted = "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
              with open("hooks", "a") as f:
                  f.write(json.dumps({"signed": self.headers["x-netloom-signature-256"] == wanted, "notice": json.loads(body)}) + "\\n")
              self.send_response(204)
              self.end_headers()
          def log_message(self, *a): pass
      server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
      open("port", "w").write(str(server.server_port))
      server.serve_forever()
      """
    receiver = Process()
    receiver.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
    receiver.arguments = ["-c", script]
    receiver.currentDirectoryURL = URL(fileURLWithPath: directory)
    try receiver.run()
    var port = ""
    while port.isEmpty {
      try #require(receiver.isRunning, "the receiver of notices has ended")
      port = (try? String(contentsOfFile: directory + "/port", encoding: .utf8)) ?? ""
      sched_yield()
    }
    let sample = try String(contentsOfFile: Command.checkout + "/ci/pipeline.yaml", encoding: .utf8)
    let hook = "notify:\n  - {webhook: \"http://127.0.0.1:\(port)/hook\", secret: {env: HOOK_SECRET}}\n"
    let text =
      sample.replacingOccurrences(of: "notify:\n", with: hook)
      .replacingOccurrences(of: "lab: production", with: "lab: nlp-production")
      .replacingOccurrences(of: ".build/", with: "")
      .replacingOccurrences(of: "hold: 5s", with: "hold: 4s")
    try text.write(toFile: directory + "/ci/pipeline.yaml", atomically: true, encoding: .utf8)
  }

  func end() {
    _ = try? netloom(["down", "nlp-production"])
    kill(receiver.processIdentifier, SIGKILL)  // it inherits a mask that keeps SIGTERM out
    receiver.waitUntilExit()
    try? FileManager.default.removeItem(atPath: directory)
  }

  func netloom(_ arguments: [String], seconds: Double = 120) throws -> Finished {
    try Command.run(Command.netloom, arguments, in: directory, environment: environment, seconds: seconds)
  }

  func run<Document: Decodable>(
    _ ref: String, as: Document.Type
  ) throws -> (exit: Int32, run: Document, errors: String) {
    let finished = try netloom(["pipeline", "run", "ci/pipeline.yaml", "--ref", ref, "-o", "json"], seconds: 150)
    let document = try JSONDecoder().decode(Document.self, from: Data(finished.output.utf8))
    return (finished.exit, document, finished.errors)
  }

  /// The versions that a client gets answers of.
  func answers() throws -> Set<String> {
    let loop = "for i in $(seq 20); do curl -sS --max-time 5 http://web/ || exit 1; done"
    let finished = try netloom(["exec", "--lab", "nlp-production", "client", "--", "sh", "-c", loop])
    guard finished.exit == 0 else { return ["exit \(finished.exit): \(finished.errors)"] }
    let versions = finished.output.split(separator: "\n").compactMap { line in
      (try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])?["version"] as? String
    }
    return Set(versions)
  }

  func tags() throws -> String {
    let finished = try netloom([
      "exec", "--lab", "nlp-production", "registry", "--", "skopeo", "list-tags", "--tls-verify=false",
      "docker://registry:5000/web",
    ])
    try #require(finished.exit == 0, "\(finished.errors)")
    return finished.output
  }

  /// By hand: skopeo pulls it, its digest is the one that was released, and the program of it answers under crun.
  func pulled(_ image: String, is version: String) throws -> Bool {
    let script = """
      set -e
      skopeo copy -q --src-tls-verify=false docker://\(image) oci:layout:x
      umoci unpack --image layout:x bundle
      cd bundle
      jq '.process.terminal = false | .linux.namespaces |= map(select(.type != "network" and .type != "user"))
        | del(.linux.uidMappings, .linux.gidMappings) | .mounts |= map(select(.type != "cgroup"))' config.json > c && mv c config.json
      unshare -m sh -ec '
        mount -t tmpfs none /sys/fs/cgroup  # crun refuses hybrid control groups
        crun --root /tmp/nlp-crun-$$ --cgroup-manager=disabled run --bundle . nlp-by-hand & crun=$!
        for i in $(seq 100); do curl -sS --max-time 1 http://127.0.0.1:8080/ 2>/dev/null && break; sleep 0.05; done
        kill $crun; wait $crun || true'
      """
    let finished = try netloom([
      "exec", "--lab", "nlp-production", "registry", "--", "sh", "-c", "cd \(directory) && \(script)",
    ])
    guard finished.output.contains("\"version\": \"\(version)\"") else {
      Issue.record("\(finished.output)\(finished.errors)")
      return false
    }
    return true
  }

  func notices() throws -> [Notice] {
    let text = try String(contentsOfFile: directory + "/hooks", encoding: .utf8)
    return try text.split(separator: "\n").map { line in
      let hook = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
      let notice = try #require(hook["notice"] as? [String: Any])
      let failed = notice["failedTests"] as? [[String: String]] ?? []
      return Notice(
        event: notice["event"] as? String ?? "", isSigned: hook["signed"] as? Bool ?? false,
        author: (notice["author"] as? [String: String])?["email"], failed: failed.compactMap { $0["name"] })
    }
  }
}
