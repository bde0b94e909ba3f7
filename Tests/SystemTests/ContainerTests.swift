import Foundation
import Testing

/// Images from a real registry over the lab's own network, run by crun or runc.
@Suite(.serialized, .enabled(if: ContainerTools.areThere, "umoci, skopeo, docker-registry, crun or busybox is missing"))
struct ContainerTests {
  /// Router, registry and what the test adds; `registry:5000` is reached from every node.
  private func topology(_ nodes: String, links: [String], rest: String = "") -> String {
    let rows = (["client", "registry"] + links).enumerated().map {
      "    - {endpoints: [\"\($1):eth1\", \"hub:eth\($0 + 1)\"]}"
    }
    return """
      addressing: {ipv6: false}
      topology:
        nodes:
          hub: {kind: router}
          client: {kind: host}
          registry: {kind: registry}
      \(nodes.split(separator: "\n").map { "    " + $0 }.joined(separator: "\n"))
        links:
      \(rows.joined(separator: "\n"))
      \(rest)

      """
  }

  private struct Reply: Decodable {
    var digest: String
    var readyMs: Double
    var previous: String?
  }

  private func digest(_ finished: Finished, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
    try #require(finished.exit == 0, "\(finished.errors)", sourceLocation: sourceLocation)
    return String(finished.output.split(separator: "\n").last ?? "")
  }

  /// busybox with a page, its digest in the registry.
  @discardableResult
  private func push(_ bench: Bench, _ lab: String, _ tag: String, page: String, command: [String]? = nil) throws
    -> String
  {
    let site = "\(bench.directory)/site-\(tag)"
    try FileManager.default.createDirectory(atPath: site, withIntermediateDirectories: true)
    try page.write(toFile: site + "/index.html", atomically: true, encoding: .utf8)
    let words = command ?? ["httpd", "-f", "-p", "80", "-h", "/srv"]
    let built = try digest(
      bench.netloom(
        ["image", "build", "page:\(tag)", "--file", "/bin/busybox:/bin/busybox", "--file", "\(site):/srv"]
          + (["/bin/busybox"] + words).flatMap { ["--entrypoint", $0] }))
    let pushed = try digest(
      bench.netloom(["image", "push", "page:\(tag)", "registry:5000", "--node", "\(lab)/registry", "--within", "20s"]))
    #expect(pushed == built)
    return pushed
  }

  private func curl(_ bench: Bench, _ lab: String, _ address: String) throws -> String {
    try bench.netloom(["exec", "--lab", lab, "client", "--", "curl", "-sS", "--max-time", "2", address]).output
  }

  /// Images of the test's own, not of whoever runs it.
  private func bench(ordinary: Bool = false) throws -> Bench {
    let bench = try Bench(ordinary: ordinary)
    bench.environment["NETLOOM_IMAGES"] = bench.directory + "/images"
    return bench
  }

  private func containerState(_ bench: Bench, _ lab: String, _ node: String) throws -> (state: String, reason: String) {
    let status = try bench.netloom(["status", "--lab", lab, "-o", "json"]).output
    let document = try JSONDecoder().decode(ContainerList.self, from: Data(status.utf8))
    let container = document.nodes.first { $0.name == node }?.container
    return (container?.state ?? "", container?.reason ?? "")
  }

  private struct ContainerList: Decodable {
    struct Node: Decodable {
      var name: String
      var container: Container?
    }
    struct Container: Decodable {
      var state: String
      var digest: String?
      var reason: String?
    }
    var nodes: [Node]
  }

  private func lifeOfAnImage(_ bench: Bench, _ lab: String) throws {
    let web = """
      web:
        kind: host
        image: registry:5000/page:v1
        ready: {http: /, port: 80}
      """
    let status = try bench.up(lab, topology(web, links: ["web"]))
    let begun = Date()
    let first = try push(bench, lab, "v1", page: "first")
    #expect(try bench.eventually(20) { try curl(bench, lab, "http://web/") == "first" }, "from tag to running")
    print("tag to running: \(Date().timeIntervalSince(begun)) s")
    // What runs is what was pushed, and its files are not the machine's.
    #expect(try bench.eventually(5) { try containerState(bench, lab, "web").state == "ready" })
    let second = try push(bench, lab, "v2", page: "second")
    let set = try bench.netloom(["image", "set", "\(lab)/web", "registry:5000/page@\(second)", "-o", "json"])
    try #require(set.exit == 0, "\(set.errors)")
    let reply = try JSONDecoder().decode(Reply.self, from: Data(set.output.utf8))
    #expect(reply.digest == second && reply.previous == first)
    #expect(reply.readyMs < 3000, "\(reply.readyMs) ms")
    #expect(try curl(bench, lab, "http://web/") == "second")
    try refusals(bench, lab)
    // A controller that is started anew knows what runs.
    #expect(try bench.netloom(["fault", "kill-controller", "--lab", lab]).exit == 0)
    let known = try bench.eventually(10) {
      let text = try bench.netloom(["status", "--lab", lab, "-o", "json"]).output
      let list = try? JSONDecoder().decode(ContainerList.self, from: Data(text.utf8))
      return list?.nodes.first { $0.name == "web" }?.container?.digest == second
    }
    #expect(known)
    // They are in private mount namespaces: those of every process are looked at.
    let overlays = "cat /proc/[0-9]*/mountinfo 2>/dev/null | grep overlay | grep -c '\(bench.directory)'"
    #expect(try Command.shell(overlays).output != "0\n")
    #expect(try bench.netloom(["down", "--lab", lab]).exit == 0)
    #expect(!isAlive(status.pid))
    #expect(try Command.shell(overlays).output == "0\n")
  }

  /// Each leaves the second page served, and says why.
  private func refusals(_ bench: Bench, _ lab: String) throws {
    func refused(_ image: String, _ word: String, within: String = "5s") throws {
      let set = try bench.netloom(["image", "set", "\(lab)/web", image, "--within", within])
      #expect(set.exit == 1 && set.errors.contains(word), "\(image): \(set.errors)")
      #expect(try curl(bench, lab, "http://web/") == "second", "\(image)")
    }
    try push(bench, lab, "ends", page: "", command: ["sh", "-c", "echo I cannot; exit 3"])
    try refused("registry:5000/page:ends", "I cannot")
    try push(bench, lab, "silent", page: "", command: ["sleep", "1000"])
    try refused("registry:5000/page:silent", "not ready within", within: "2s")
    try refused("registry:5000/page:absent", "manifest unknown")
    try refused("registry:5000/page@sha256:\(String(repeating: "0", count: 64))", "manifest unknown", within: "3s")
    try refused("page:nowhere", "is not in the image store")
    // What the registry hands out is not what it says.
    let changed = try push(bench, lab, "changed", page: "changed")
    let blob =
      "nodes/registry/registry/docker/registry/v2/blobs/sha256/\(changed.dropFirst(7).prefix(2))/\(changed.dropFirst(7))/data"
    let spoil = try Command.shell("for f in $(find / -path '*/\(lab)/\(blob)' 2>/dev/null); do printf ' ' >> $f; done")
    #expect(spoil.exit == 0)
    _ = try bench.netloom(["image", "rm", "page:changed"])
    try refused("registry:5000/page@\(changed)", "digest", within: "4s")
  }

  @Test(
    "an image is pushed, pulled by digest, run and changed; what fails leaves the old one running",
    .enabled(if: Command.isRoot, "the part for root"))
  func asRoot() throws { try lifeOfAnImage(try bench(), "ct-root-\(getpid())") }

  @Test("it does so for an ordinary user")
  func asOrdinaryUser() throws { try lifeOfAnImage(try bench(ordinary: true), "ct-user-\(getpid())") }

  @Test("an image that ends at once is told with its exit code and last words, and kill -9 of the lab leaves nothing")
  func endsAtOnce() throws {
    let bench = try bench()
    let lab = "ct-end-\(getpid())"
    let built = try bench.netloom(
      ["image", "build", "page:ends", "--file", "/bin/busybox:/bin/busybox"]
        + ["/bin/busybox", "sh", "-c", "echo no configuration; exit 3"].flatMap { ["--entrypoint", $0] })
    #expect(built.exit == 0, "\(built.errors)")
    let status = try bench.up(lab, topology("web: {kind: host, image: \"page:ends\"}", links: ["web"]))
    let told = try bench.eventually(10) {
      let (state, reason) = try containerState(bench, lab, "web")
      return state == "failed" && reason.contains("exit 3") && reason.contains("no configuration")
    }
    let last = try containerState(bench, lab, "web")
    #expect(told, "\(last)")
    kill(status.pid, SIGKILL)
    #expect(bench.eventually(3) { !status.nodes.map(\.pid).contains(where: isAlive) })
    // Nobody uses the image any more.
    #expect(try bench.eventually(3) { try bench.netloom(["image", "rm", "page:ends"]).exit == 0 })
  }

  @Test("a lab whose image is nowhere is refused before anything is started")
  func absent() throws {
    let bench = try bench()
    let path = try bench.file(
      "absent.yaml", "name: ct-no\n" + topology("web: {kind: host, image: nothing}", links: ["web"]))
    let up = try bench.netloom(["up", path])
    #expect(up.exit == 3 && up.errors.contains("nothing:latest") && up.errors.contains("absent.yaml:"), "\(up.errors)")
  }

  @Test("twenty containers share one image, unpacked once")
  func twenty() throws {
    let bench = try bench()
    let lab = "ct-20-\(getpid())"
    let names = (1...20).map { "web-\($0)" }
    let nodes = names.map { "\($0): {kind: host, image: \"registry:5000/page:v1\", ready: {port: 80}}" }
    _ = try bench.up(lab, topology(nodes.joined(separator: "\n"), links: names))
    try push(bench, lab, "v1", page: "shared")
    #expect(
      try bench.eventually(60) {
        let text = try bench.netloom(["status", "--lab", lab, "-o", "json"]).output
        let list = try JSONDecoder().decode(ContainerList.self, from: Data(text.utf8))
        return list.nodes.count { $0.container?.state == "ready" } == 20
      })
    #expect(try curl(bench, lab, "http://web-20/") == "shared")
    #expect(try FileManager.default.contentsOfDirectory(atPath: bench.directory + "/images/images").count == 1)
    #expect(try bench.netloom(["image", "prune"]).exit == 0)
    let removed = try bench.netloom(["image", "rm", "page:v1"])
    _ = try bench.netloom(["image", "rm", "registry:5000/page:v1"])
    #expect(removed.exit == 0 && FileManager.default.fileExists(atPath: bench.directory + "/images/images"))
    #expect(try curl(bench, lab, "http://web-1/") == "shared")
  }

  @Test("a pod's image changes under load, and no request of the mesh is lost")
  func underLoad() throws {
    let bench = try bench()
    let lab = "ct-load-\(getpid())"
    let built = try bench.netloom(
      ["image", "build", "page:v0", "--file", "/bin/busybox:/bin/busybox"]
        + ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/bin"].flatMap { ["--entrypoint", $0] })
    #expect(built.exit == 0, "\(built.errors)")
    let pods = """
      caller: {kind: pod, service: callers}
      web-1: {kind: pod, service: web, image: "page:v0"}
      web-2: {kind: pod, service: web, image: "page:v0"}
      """
    let mesh = "mesh: {mtls: strict, services: {callers: {port: 9}, web: {port: 80, target: 8080, protocol: http}}}"
    _ = try bench.up(lab, topology(pods, links: ["caller", "web-1", "web-2"], rest: mesh))
    for pod in ["web-1", "web-2"] {
      #expect(try bench.eventually(20) { try containerState(bench, lab, pod).state == "ready" })
    }
    try push(bench, lab, "v9", page: "ok", command: ["httpd", "-f", "-p", "8080", "-h", "/srv"])
    // A request after the other until the file is there; every answer but 200 and 404 (other content) is a loss.
    let load = """
      while [ ! -e \(bench.directory)/stop ]; do
        curl -s -o /dev/null --max-time 5 -w '%{http_code}\\n' http://web/index.html; done
      """
    let script = try bench.file("load.sh", load)
    let requests = Requests(bench, lab, script)
    #expect(try bench.eventually(10) { try !requests.codes().isEmpty })
    for pod in ["web-1", "web-2"] {
      let set = try bench.netloom(["image", "set", "\(lab)/\(pod)", "registry:5000/page:v9"])
      #expect(set.exit == 0, "\(set.errors)")
    }
    let seen = try requests.codes().count
    #expect(try bench.eventually(10) { try requests.codes().count > seen + 20 })
    _ = try bench.file("stop", "")
    requests.wait()
    let codes = try requests.codes()
    let lost = codes.filter { $0 != "200" && $0 != "404" }
    #expect(lost.isEmpty, "\(lost.count) of \(codes.count): \(Set(lost))")
    #expect(codes.suffix(10).allSatisfy { $0 == "200" })
  }

  /// Runs in the caller's node beside the test.
  private final class Requests: @unchecked Sendable {  // proof: its members are set once, before the thread begins
    private let output: String
    private let done = DispatchSemaphore(value: 0)

    init(_ bench: Bench, _ lab: String, _ script: String) {
      output = bench.directory + "/codes"
      let (done, output, directory) = (done, output, bench.directory)
      Thread.detachNewThread {
        _ = try? Command.shell(
          "'\(Command.netloom)' exec --lab \(lab) caller -- sh \(script) > \(output)", in: directory, seconds: 100)
        done.signal()
      }
    }

    func codes() throws -> [String] {
      let text = (try? String(contentsOfFile: output, encoding: .utf8)) ?? ""
      return text.split(separator: "\n").map(String.init)
    }

    func wait() { _ = done.wait(timeout: .now() + 30) }
  }
}

enum ContainerTools {
  static let areThere = [
    "/usr/bin/umoci", "/usr/bin/skopeo", "/usr/bin/docker-registry", "/usr/bin/crun", "/bin/busybox",
  ]
  .allSatisfy { FileManager.default.isExecutableFile(atPath: $0) }
}
