import Foundation
import Testing

/// The mesh of a running lab: what is served while it changes, and what the network under it does.
@Suite(.serialized, .enabled(if: Command.isRoot, "needs root")) struct MeshTests {
  private static let load = "\(Command.checkout)/topologies/mesh/load.py"

  ///  client ── edge ──┬── web-1 (v1)
  ///                   └── web-2 (v2)
  private static func shop(_ mesh: String, web: String = "") -> String {
    """
    addressing: {ipv6: false}
    topology:
      nodes:
        client: {kind: pod}
        edge: {kind: router, asn: 64500}
        web-1: {kind: pod, service: web, version: v1, cmd: ["python3 \(load) serve 8080 --version v1"]}
        web-2: {kind: pod, service: web, version: v2, cmd: ["python3 \(load) serve 8080 --version v2"]}
      links:
        - {endpoints: ["client:eth1", "edge:eth1"], addresses: [[10.1.0.2/24], [10.1.0.1/24]]}
        - {endpoints: ["edge:eth2", "web-1:eth1"], addresses: [[10.2.0.1/24], [10.2.0.2/24]]}
        - {endpoints: ["edge:eth3", "web-2:eth1"], addresses: [[10.3.0.1/24], [10.3.0.2/24]]}
    mesh:
      \(mesh)
      services:
        web: {port: 80, target: 8080, protocol: http, health: {interval: 100ms}\(web)}

    """
  }

  private func json(_ bench: Bench, _ arguments: [String], exit: Int32 = 0) throws -> [String: Any] {
    let run = try bench.netloom(arguments + ["-o", "json"])
    try #require(run.exit == exit, "\(arguments): \(run.exit)\n\(run.errors)\(run.output)")
    return try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
  }

  private func curl(_ bench: Bench, _ lab: String, _ node: String = "client", _ rest: String = "http://web/") throws
    -> String
  {
    try bench.netloom([
      "exec", "\(lab)/\(node)", "--", "sh", "-c", "curl -sS --max-time 3 -w ' %{http_code}' \(rest) 2>&1",
    ])
    .output
  }

  /// `up` does not wait for servers. Here they answer, the controller knows it, and every sidecar was told.
  private func awaitServers(_ bench: Bench, _ lab: String) throws {
    for pod in ["web-1", "web-2"] {
      #expect(
        try bench.eventually(20) {
          try bench.netloom(["exec", "\(lab)/\(pod)", "--", "curl", "-sf", "http://127.0.0.1:8080/"]).exit == 0
        })
    }
    #expect(
      try bench.eventually(20) {
        // 0: no sidecar lags.
        let run = try bench.netloom(["mesh", "status", "--lab", lab, "-o", "json"])
        guard run.exit == 0 else { return false }
        let status = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
        let services = try #require(status["services"] as? [[String: Any]])
        let pods = services.flatMap { $0["pods"] as? [[String: Any]] ?? [] }
        return pods.count == 2 && pods.allSatisfy { $0["healthy"] as? Bool == true }
      })
  }

  /// 1,000 requests a second from the client while the body runs; what came of them.
  private func underLoad(_ bench: Bench, _ lab: String, seconds: Int, _ body: () throws -> Void) throws -> [String: Any]
  {
    let result = try bench.file("\(lab).load", "")
    let command =
      "\(Command.netloom) exec \(lab)/client -- python3 \(Self.load) run http://web/ --for \(seconds) > \(result) 2>&1"
    let done = DispatchSemaphore(value: 0)
    let thread = Thread {
      _ = try? Command.shell(command, seconds: Double(seconds) + 30)
      done.signal()
    }
    thread.start()
    try body()
    #expect(done.wait(timeout: .now() + Double(seconds) + 40) == .success)
    let text = try String(contentsOfFile: result, encoding: .utf8)
    return try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
  }

  /// Requests that clients' sidecars have counted for a version of web.
  private func counted(_ bench: Bench, _ lab: String, _ version: String) throws -> Int {
    let run = try bench.netloom(["mesh", "edges", "--lab", lab, "--to", "web", "-o", "json"])
    let edges = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [[String: Any]])
    return edges.filter { $0["version"] as? String == version && $0["reporter"] as? String == "client" }
      .reduce(0) { $0 + ($1["requests"] as? Int ?? 0) }
  }

  @Test("no request fails while weights move in steps under 1,000 requests a second, and mtls changes under them")
  func canary() throws {
    let bench = try Bench()
    let lab = "mt-canary-\(getpid())"
    _ = try bench.up(lab, Self.shop("mtls: off", web: ", split: {v1: 1}"))
    try awaitServers(bench, lab)
    let strict = try bench.file("strict.yaml", "mesh: {mtls: strict}")
    let load = try underLoad(bench, lab, seconds: 6) {
      #expect(try bench.eventually(5) { try counted(bench, lab, "v1") > 200 })
      for (old, new) in [(95, 5), (50, 50)] {
        let change = try json(bench, ["mesh", "split", "\(lab)/web", "v1=\(old)", "v2=\(new)"])
        #expect(change["current"] as? Int == 3)
      }
      let applied = try bench.netloom(["apply", strict, "--lab", lab])
      #expect(applied.exit == 0, "\(applied.errors)")
      #expect(try json(bench, ["mesh", "status", "--lab", lab])["mtls"] as? String == "strict")
      _ = try json(bench, ["mesh", "split", "\(lab)/web", "v1=0", "v2=100"])
      #expect(try curl(bench, lab).contains("v2"))
    }
    #expect(load["failed"] as? Int == 0, "\(load)")
    #expect(load["requests"] as? Int == 6000)
    let versions = try #require(load["versions"] as? [String: Int])
    #expect(versions["v1"] ?? 0 > 100 && versions["v2"] ?? 0 > 100, "\(versions)")
  }

  @Test("a change of the mesh is on every sidecar or on none, and can be taken back, edited manifests or not")
  func change() throws {
    let bench = try Bench()
    let lab = "mt-change-\(getpid())"
    func route(_ path: String, _ backend: String) -> String {
      """
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata: {name: web}
      spec:
        parentRefs: [{kind: Service, name: web}]
        rules: [{matches: [{path: {type: RegularExpression, value: "\(path)"}}], backendRefs: [{name: \(backend)}]}]
      """
    }
    let manifest = try bench.file("route.yaml", route("/.*", "web-v1"))
    let up = try bench.up(lab, Self.shop("routes: [route.yaml]"))
    #expect(up.converged)
    try awaitServers(bench, lab)
    #expect(try curl(bench, lab).contains("v1"))

    _ = try bench.file("route.yaml", route("/.*", "web-v2"))
    let change = try bench.file("change.yaml", "mesh: {routes: [route.yaml], services: {web: {rate-limit: 1000000}}}")
    let plan = try bench.netloom(["plan", change, "--lab", lab])
    #expect(
      plan.output.contains("HTTPRoute web: web: ~/.*, to web-v2=1  (was: web: ~/.*, to web-v1=1)"), "\(plan.output)")
    #expect(plan.output.contains("service  web rate-limit: 1000000"), "\(plan.output)")
    #expect(try bench.netloom(["apply", change, "--lab", lab]).exit == 0)
    #expect(try curl(bench, lab).contains("v2"))

    // An expression that has a meaning for others only.
    _ = try bench.file("route.yaml", route("/(?=x).*", "web-v1"))
    let refused = try bench.netloom(["apply", change, "--lab", lab])
    #expect(refused.exit == 2)
    #expect(
      refused.errors.contains("spec.rules[0].matches[0].path.value: “/(?=x).*” is no regular expression"),
      "\(refused.errors)")
    #expect(try curl(bench, lab).contains("v2"))
    let status = try json(bench, ["mesh", "status", "--lab", lab])
    #expect(status["converged"] as? Bool == true, "what stood is back on all: \(status)")

    // Version 1 was made of a manifest that is no more.
    #expect(try bench.netloom(["rollback", "--lab", lab]).exit == 0)
    #expect(try curl(bench, lab).contains("v1"))
    let history = try bench.netloom(["history", "--lab", lab, "-o", "json"])
    #expect(history.output.contains("mesh: ~ route HTTPRoute web"), "\(history.output)")
    #expect(try String(contentsOfFile: manifest, encoding: .utf8).contains("(?=x)"))

    let closed = try bench.file("closed.yaml", "mesh: {authorization: [{to: web, allow: []}]}")
    #expect(try bench.netloom(["apply", closed, "--lab", lab]).exit == 0)
    #expect(try curl(bench, lab).hasSuffix(" 403"))
    #expect(try bench.netloom(["rollback", "--lab", lab]).exit == 0)
    #expect(try curl(bench, lab).hasSuffix(" 200"))
  }

  ///  client, outsider ── edge ── web-1, db-1
  @Test("a program of a transparent pod sees its client's address, by HTTP and TCP, IPv4 and IPv6, from pods and hosts")
  func transparent() throws {
    let bench = try Bench()
    let lab = "mt-tproxy-\(getpid())"
    let program = try bench.file(
      "peer.py",
      """
      import socket, sys, threading
      family, host, port, http = sys.argv[1:]
      family = {'4': socket.AF_INET, '6': socket.AF_INET6}[family]
      listener = socket.socket(family)
      listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      if family == socket.AF_INET6: listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
      listener.bind((host, int(port)))
      listener.listen()
      def serve(connection, peer):
        with connection:
          while connection.recv(65536):
            text = peer + '\\n'
            if http == 'http': text = f'HTTP/1.1 200 OK\\r\\nContent-Length: {len(text)}\\r\\n\\r\\n{text}'
            connection.sendall(text.encode())
      while True:
        connection, peer = listener.accept()
        threading.Thread(target=serve, args=(connection, peer[0]), daemon=True).start()
      """)
    let up = try bench.up(
      lab,
      """
      topology:
        nodes:
          client: {kind: pod}
          outsider: {kind: host}
          edge: {kind: router, asn: 64500}
          web-1:
            {kind: pod, service: web, interception: tproxy,
             cmd: ["python3 \(program) 4 0.0.0.0 8080 http", "python3 \(program) 6 :: 8080 http"]}
          # One program listens on the pod's own address, not on loopback; one on IPv4 alone.
          db-1: {kind: pod, service: db, interception: tproxy, cmd: ["python3 \(program) 4 10.3.0.2 5432 tcp"]}
          old-1: {kind: pod, service: old, interception: tproxy, cmd: ["python3 \(program) 4 127.0.0.1 5433 tcp"]}
        links:
          - {endpoints: ["client:eth1", "edge:eth1"], addresses: [[10.1.0.2/24, fd01::2/64], [10.1.0.1/24, fd01::1/64]]}
          - {endpoints: ["edge:eth2", "web-1:eth1"], addresses: [[10.2.0.1/24, fd02::1/64], [10.2.0.2/24, fd02::2/64]]}
          - {endpoints: ["edge:eth3", "db-1:eth1"], addresses: [[10.3.0.1/24, fd03::1/64], [10.3.0.2/24, fd03::2/64]]}
          - {endpoints: ["edge:eth5", "old-1:eth1"], addresses: [[10.5.0.1/24, fd05::1/64], [10.5.0.2/24, fd05::2/64]]}
          - {endpoints: ["edge:eth4", "outsider:eth1"], addresses: [[10.4.0.1/24, fd04::1/64], [10.4.0.2/24, fd04::2/64]]}
      mesh:
        mtls: permissive
        services:
          web: {port: 80, target: 8080, protocol: http}
          db: {port: 5432}
          old: {port: 5433}

      """)
    #expect(up.converged)
    func ask(_ node: String, _ url: String) throws -> String {
      try bench.netloom(["exec", "\(lab)/\(node)", "--", "curl", "-sS", "--max-time", "3", url]).output
    }
    func talk(_ node: String, _ host: String, _ port: Int = 5432) throws -> String {
      let command = "exec 3<>/dev/tcp/\(host)/\(port); echo hello >&3; timeout 3 head -1 <&3"
      return try bench.netloom(["exec", "\(lab)/\(node)", "--", "bash", "-c", command]).output
    }
    #expect(try bench.eventually(20) { try ask("client", "http://web/") == "10.1.0.2\n" })
    #expect(try ask("outsider", "http://10.2.0.2:8080/") == "10.4.0.2\n")
    #expect(try bench.eventually(20) { try ask("outsider", "http://[fd02::2]:8080/") == "fd04::2\n" })
    // Two requests on one connection, and the next client has another.
    #expect(try ask("outsider", "http://10.2.0.2:8080/[1-2]") == "10.4.0.2\n10.4.0.2\n")
    #expect(try bench.eventually(20) { try talk("client", "db") == "10.1.0.2\n" })
    #expect(try talk("outsider", "10.3.0.2") == "10.4.0.2\n")
    #expect(try bench.eventually(20) { try talk("outsider", "10.5.0.2", 5433) == "10.4.0.2\n" })
    #expect(
      try talk("outsider", "fd05::2", 5433) == "127.0.0.1\n", "it knows no IPv6, and is served by the sidecar's name")
    // It has no socket of IPv6, nor one on loopback: the connection is refused, not lost.
    let refused = try bench.netloom(
      ["exec", "\(lab)/outsider", "--", "curl", "-sS", "--max-time", "3", "http://[fd03::2]:5432/"])
    #expect(refused.exit != 0 && !refused.errors.contains("timed out"), "\(refused.errors)")
    let edges = try bench.netloom(["mesh", "edges", "--lab", lab, "--to", "web", "-o", "json"]).output
    let list = try #require(try JSONSerialization.jsonObject(with: Data(edges.utf8)) as? [[String: Any]])
    let direct = list.filter { $0["from"] as? String == "" }.reduce(0) { $0 + ($1["requests"] as? Int ?? 0) }
    #expect(direct == 4, "the outsider's went through its sidecar: \(edges)")
    let drift = try bench.netloom(["drift", "--lab", lab])
    #expect(drift.exit == 0, "\(drift.output)")
    let rules = try bench.netloom(["exec", "\(lab)/web-1", "--", "ip", "rule"]).output
    #expect(rules.contains("7000:\tfrom all fwmark 0x4e54 lookup 9500"), "\(rules)")
  }

  @Test("a manifest that asks for what is not done is refused with its place before anything starts")
  func refused() throws {
    let bench = try Bench()
    let lab = "mt-refused-\(getpid())"
    _ = try bench.file(
      "route.yaml",
      """
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata: {name: web}
      spec:
        parentRefs: [{kind: Service, name: web}]
        rules: [{sessionPersistence: {sessionName: x}, backendRefs: [{name: web}]}]
      """)
    let path = try bench.file("\(lab).yaml", "name: \(lab)\n" + Self.shop("routes: [route.yaml]"))
    for command in [["validate", path], ["up", path], ["test", path]] {
      let run = try bench.netloom(command)
      #expect(run.exit == 2)
      #expect(
        run.errors.contains("/route.yaml:6:32: error: spec.rules[0].sessionPersistence: is not supported"),
        "\(command): \(run.errors)")
    }
    #expect(!FileManager.default.fileExists(atPath: "/run/netloom/\(lab)"))
  }

  @Test("an announced address goes with its last healthy pod, and comes back with it")
  func announcement() throws {
    let bench = try Bench()
    let lab = "mt-announce-\(getpid())"
    _ = try bench.up(
      lab,
      """
      addressing: {ipv6: false}
      topology:
        nodes:
          user: {kind: host}
          hub: {kind: router, asn: 64500, networks: [10.1.0.0/24], bgp: {neighbors: {east: {import: prefer}}}}
          east: {kind: router, asn: 64501}
          west: {kind: router, asn: 64502}
          dns-1: {kind: pod, service: names, version: v1, cmd: ["test -e /tmp/\(lab) && exec python3 \(Self.load) serve 8080 --version v1"]}
          dns-2: {kind: pod, service: names, version: v2, cmd: ["python3 \(Self.load) serve 8080 --version v2"]}
        links:
          - {endpoints: ["user:eth1", "hub:eth1"], addresses: [[10.1.0.2/24], [10.1.0.1/24]]}
          - {endpoints: ["east:eth1", "hub:eth2"], relation: customer-provider}
          - {endpoints: ["west:eth1", "hub:eth3"], relation: customer-provider}
          - {endpoints: ["east:eth2", "dns-1:eth1"], addresses: [[10.2.0.1/24], [10.2.0.2/24]]}
          - {endpoints: ["west:eth2", "dns-2:eth1"], addresses: [[10.3.0.1/24], [10.3.0.2/24]]}
      policies: {prefer: [{set: {local-pref: 300}}]}
      mesh:
        addresses: [198.51.100.0/24]
        services:
          names: {port: 80, target: 8080, protocol: http, announce: [east, west], health: {path: /, interval: 100ms, failures: 1}}

      """)
    defer { unlink("/tmp/\(lab)") }
    func origin() throws -> String {
      let route = try bench.netloom(["show", "bgp", "\(lab)/hub", "198.51.100.1/32", "-o", "json"]).output
      return (route.contains("64501") ? "east " : "") + (route.contains("64502") ? "west" : "")
    }
    // Its program has never come up: the preferred site announces nothing, and nobody is led there.
    #expect(try bench.eventually(20) { try origin() == "west" }, "\(String(describing: try? origin()))")
    #expect(try curl(bench, lab, "user", "http://198.51.100.1/").contains("v2"))
    #expect(FileManager.default.createFile(atPath: "/tmp/\(lab)", contents: nil))
    #expect(try bench.eventually(45) { try origin() == "east west" }, "\(String(describing: try? origin()))")
    #expect(try bench.eventually(10) { try curl(bench, lab, "user", "http://198.51.100.1/").contains("v1") })
    unlink("/tmp/\(lab)")
    #expect(
      try Command.shell(
        "kill $(ip netns pids \(lab).dns-1 | xargs -n1 -I{} sh -c 'grep -lq serve /proc/{}/cmdline 2>/dev/null && echo {}')"
      ).exit == 0)
    #expect(try bench.eventually(20) { try origin() == "west" }, "\(String(describing: try? origin()))")
    #expect(try bench.eventually(10) { try curl(bench, lab, "user", "http://198.51.100.1/").contains("v2") })
  }

  @Test("the nearer site by BGP is asked, also after the path there has grown longer")
  func locality() throws {
    let bench = try Bench()
    let lab = "mt-local-\(getpid())"
    //  client ─ home ─┬─ isp1 ── near ─ web-1      home reaches near by isp1, or by isp2 and isp1;
    //                 └─ isp2 ── far ── web-2      far by isp2
    //            isp1 ─ isp2
    _ = try bench.up(
      lab,
      """
      addressing: {ipv6: false}
      topology:
        nodes:
          client: {kind: pod}
          web-1: {kind: pod, service: web, version: v1, cmd: ["python3 \(Self.load) serve 8080 --version v1"]}
          web-2: {kind: pod, service: web, version: v2, cmd: ["python3 \(Self.load) serve 8080 --version v2"]}
          home: {kind: router, asn: 64500, networks: [10.1.0.0/24]}
          near: {kind: router, asn: 64501, networks: [10.2.0.0/24]}
          far: {kind: router, asn: 64502, networks: [10.3.0.0/24]}
          between: {kind: router, asn: 64503}
          isp1: {kind: router, asn: 64496}
          isp2: {kind: router, asn: 64497}
        links:
          - {endpoints: ["client:eth1", "home:eth1"], addresses: [[10.1.0.2/24], [10.1.0.1/24]]}
          - {endpoints: ["web-1:eth1", "near:eth1"], addresses: [[10.2.0.2/24], [10.2.0.1/24]]}
          - {endpoints: ["web-2:eth1", "far:eth1"], addresses: [[10.3.0.2/24], [10.3.0.1/24]]}
          - {endpoints: ["home:eth2", "isp1:eth1"], relation: open}
          - {endpoints: ["home:eth3", "isp2:eth1"], relation: open}
          - {endpoints: ["isp1:eth2", "near:eth2"], relation: open}
          - {endpoints: ["isp1:eth3", "isp2:eth2"], relation: open}
          - {endpoints: ["isp2:eth3", "between:eth1"], relation: open}
          - {endpoints: ["between:eth2", "far:eth2"], relation: open}
      mesh:
        services: {web: {port: 80, target: 8080, protocol: http}}

      """)
    func priorities() throws -> [String: Int] {
      // 1: nothing is served, as while the routers search for another path.
      let run = try bench.netloom(["mesh", "explain", "\(lab)/client", "web", "-o", "json"])
      try #require(run.exit == 0 || run.exit == 1, "\(run.errors)")
      let explained = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
      let endpoints = try #require(explained["endpoints"] as? [[String: Any]])
      return Dictionary(
        uniqueKeysWithValues: endpoints.compactMap { endpoint in
          guard let pod = endpoint["pod"] as? String, let priority = endpoint["priority"] as? Int else { return nil }
          return (pod, priority)
        })
    }
    // near: isp1, near. far: isp2, between, far. Known when `up` returns.
    #expect(try priorities() == ["web-1": 0, "web-2": 1])
    try awaitServers(bench, lab)
    let first = try curl(bench, lab)
    #expect(first.contains("v1"), "\(first)")
    // near: isp2, isp1, near. As far as the other one.
    _ = try bench.netloom(["fault", "link-down", "home:eth2", "isp1:eth1", "--lab", lab])
    #expect(
      try bench.eventually(20) { try priorities() == ["web-1": 0, "web-2": 0] },
      "\(String(describing: try? priorities()))")
    // Not at all.
    _ = try bench.netloom(["fault", "link-down", "isp1:eth3", "isp2:eth2", "--lab", lab])
    #expect(
      try bench.eventually(20) { try priorities() == ["web-1": 1, "web-2": 0] },
      "\(String(describing: try? priorities()))")
    #expect(try bench.eventually(10) { try curl(bench, lab).contains("v2") })
    let explained = try bench.netloom(["mesh", "explain", "\(lab)/client", "web"]).output
    #expect(explained.contains("link home:eth2 isp1:eth1: down"), "\(explained)")
    _ = try bench.netloom(["fault", "link-up", "home:eth2", "isp1:eth1", "--lab", lab])
    #expect(
      try bench.eventually(20) { try priorities() == ["web-1": 0, "web-2": 1] },
      "\(String(describing: try? priorities()))")
  }

  @Test("requests go on while the controller is dead; the next one finds everybody where it was")
  func controllerKilled() throws {
    let bench = try Bench()
    let lab = "mt-dead-\(getpid())"
    let up = try bench.up(lab, Self.shop("mtls: strict", web: ", split: {v1: 1, v2: 1}"))
    func versions() throws -> [String: [String: String]] {
      let status = try json(bench, ["mesh", "status", "--lab", lab])
      let sidecars = try #require(status["sidecars"] as? [[String: Any]])
      var result: [String: [String: String]] = [:]
      for sidecar in sidecars {
        let types = sidecar["types"] as? [[String: Any]] ?? []
        for type in types where type["type"] as? String != "SDS" {
          #expect(type["sent"] as? String == type["acknowledged"] as? String && type["refusals"] as? Int == 0)
          result[sidecar["pod"] as? String ?? "", default: [:]][type["type"] as? String ?? ""] =
            type["acknowledged"] as? String
        }
      }
      return result
    }
    try awaitServers(bench, lab)
    _ = try json(bench, ["mesh", "split", "\(lab)/web", "v1=30", "v2=70"])
    let before = try versions()
    #expect(before.keys.sorted() == ["client", "web-1", "web-2"] && before["client"]?.count == 4)
    let load = try underLoad(bench, lab, seconds: 8) {
      kill(up.controller.pid, SIGKILL)
      #expect(
        bench.eventually(20) {
          let status = try? bench.status(lab)
          return status?.converged == true && status?.controller.pid != up.controller.pid
        })
      #expect(try bench.eventually(10) { try bench.netloom(["mesh", "status", "--lab", lab]).exit == 0 })
      #expect(try versions() == before, "nobody was sent what it had")
      let change = try json(bench, ["mesh", "split", "\(lab)/web", "v1=60", "v2=40"])
      #expect(change["current"] as? Int == 3)
      let after = try #require(try versions()["client"])
      #expect(after["RDS"] != before["client"]?["RDS"] && after["CDS"] == before["client"]?["CDS"])
    }
    #expect(load["failed"] as? Int == 0, "\(load)")
  }
}
