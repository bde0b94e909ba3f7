import Foundation
import Testing
import Topology

/// Asks python's jsonschema, an independent validator, about many documents at once; nil where it is not installed.
/// YAML is read by PyYAML with every scalar as text (`BaseLoader`), as Netloom reads it, and with its usual types.
private func verdicts(schema: String, _ documents: [String]) throws -> [[Bool]]? {
  let script = """
    import json, sys
    import jsonschema, yaml
    job = json.load(sys.stdin)
    schema = json.loads(job["schema"])
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    def holds(text, loader):
        try:
            return validator.is_valid(json.loads(json.dumps(yaml.load(text, Loader=loader))))
        except yaml.YAMLError:
            return False
    print(json.dumps([[holds(d, yaml.BaseLoader), holds(d, yaml.SafeLoader)] for d in job["documents"]]))
    """
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["python3", "-c", script]
  let (input, output) = (Pipe(), Pipe())
  process.standardInput = input
  process.standardOutput = output
  process.standardError = FileHandle.nullDevice
  try process.run()
  let job = try JSONSerialization.data(withJSONObject: ["schema": schema, "documents": documents])
  // Written from another thread: both pipes are smaller than the job may be.
  let writer = input.fileHandleForWriting
  DispatchQueue.global().async {
    try? writer.write(contentsOf: job)
    try? writer.close()
  }
  let answer = output.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  guard process.terminationStatus == 0 else { return nil }
  return try JSONSerialization.jsonObject(with: answer) as? [[Bool]]
}

private let hasValidator: Bool = {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["python3", "-c", "import jsonschema, yaml; jsonschema.Draft202012Validator"]
  process.standardError = FileHandle.nullDevice
  guard (try? process.run()) != nil else { return false }
  process.waitUntilExit()
  return process.terminationStatus == 0
}()

@Suite(.enabled(if: hasValidator, "needs python3 with jsonschema (draft 2020-12) and PyYAML"))
struct TheSchema {
  @Test func takesWhatTheParserTakes() throws {
    let good = [contractSample, wideSample]
    #expect(wideSample.isEmpty == false && parse(wideSample).errors.isEmpty, "\(shown(parse(wideSample).errors))")
    let answers = try #require(try verdicts(schema: TopologySchema.lab(), good))
    #expect(answers.allSatisfy { $0 == [true, true] }, "\(answers)")
  }

  /// Mistakes of form are seen by both; what only a resolver can know (names, overlaps) passes the schema.
  @Test func refusesWhatIsWrongInForm() throws {
    let forms: Set<String> = [
      "a scalar", "a list", "no name", "a name without a value", "a bad lab name", "a node name that is too long",
      "no nodes key", "an unknown key at the top", "an unknown key of a node", "a list where a mapping belongs",
      "a mapping where a scalar belongs", "a kind that does not exist", "the kind pod", "the kind registry", "nat",
      "qos",
      "filter", "publish", "image", "path", "mesh", "drift", "an AS with letters", "a network without a length",
      "a loopback that is a subnet", "a sysctl of the machine", "a command that is not in a list", "three endpoints",
      "a link without endpoints", "a long interface name", "an address without a length", "one list of addresses",
      "delay", "jitter", "loss", "rate", "a relation that does not exist", "an md5 password of 81 bytes",
      "a time with a wrong unit", "add-path", "rpki", "an empty statement", "a wildcard that is set",
      "a test without steps", "a step of a later version", "a fault of a later version", "two words in a step",
      "a time without a unit", "a reason that does not exist",
    ]
    let broken = allBrokenLabs.filter { forms.contains($0.about) }
    #expect(broken.count == forms.count)
    let answers = try #require(try verdicts(schema: TopologySchema.lab(), broken.map(\.text)))
    for (one, answer) in zip(broken, answers) { #expect(answer == [false, false], "\(one.about)") }
  }

  @Test func ofASpeakerFileTakesItsSample() throws {
    let good = """
      asn: 65001
      router-id: 192.0.2.1
      policies: {p: [{match: {prefix: "10.0.0.0/8 le 24"}, set: {med: 5}}]}
      neighbors: [{address: 192.0.2.2, asn: 1.10, import: p, graceful-restart: false, timers: {hold: 90s}}]
      """
    let bad = "asn: 65001\nrouter-id: 192.0.2.1\nneighbors: [{adress: 192.0.2.2, asn: 1}]\n"
    let answers = try #require(try verdicts(schema: TopologySchema.speaker(), [good, bad]))
    #expect(answers == [[true, true], [false, false]])
  }
}

/// A file with every key of this version.
private let wideSample = """
  name: wide
  addressing: {links: [10.0.0.0/16, "fd00:10::/32"], loopbacks: [10.255.0.0/16], ipv4: true, ipv6: true}
  defaults: {congestion: cubic, neighbor-entries: learned, bgp: {prefer-customer: true}}
  topology:
    nodes:
      a:
        kind: router
        asn: 64500
        networks: [203.0.113.0/24]
        loopback: [10.255.9.1/32]
        sysctls: {net.ipv4.ip_default_ttl: 255}
        exec: ["true"]
        cmd: ["sleep 1000"]
        env: {LANG: C}
        labels: {site: west}
        routes: [{to: "2001:db8:9::/48", via: b}, {to: 198.18.0.0/15, via: "b:eth1"}]
        bgp:
          timers: {keepalive: 3s, hold: 9, connect: 500ms}
          multipath: 4
          route-reflector: false
          cluster-id: 1.1.1.1
          router-id: 2.2.2.2
          prefer-customer: false
          neighbors:
            b: {import: p, export: accept, md5: x, ttl-security: true, max-prefix: 5, next-hop-self: true,
                graceful-restart: 60, remove-private-as: replace, allow-own-as: 2, send-communities: false,
                passive: true, timers: {hold: 30}, sessions: [ipv4, ipv6], roles: false}
      b: {kind: router, asn: 64501, bgp: {neighbors: {c: {relation: peer-peer}}}}
      c: {kind: router, asn: 1.10}
      s: {kind: switch}
      h: {kind: host}
    links:
      - {endpoints: ["a:eth1", "b:eth1"], relation: customer-provider, roles: false, mtu: 9000, cost: 10}
      - {endpoints: [b, s]}
      - {endpoints: [c, s]}
      - {endpoints: [h, c], addresses: [[192.168.1.2/24], [192.168.1.1/24]]}
  policies:
    p:
      - {match: {prefix: ["10.0.0.0/8 ge 16 le 24", 192.0.2.0/24], as-path: "^65001_", community: [65001:100, "*:1", no-export],
                 large-community: "65001:1:*", origin: [local, ebgp], neighbor: b}, then: accept}
      - {set: {local-pref: 100, med: 5, prepend: {asn: 64512, times: 2}, community: {add: 65001:10, remove: ["65001:*"]},
               large-community: {replace: []}, next-hop: 192.0.2.1, weight: 7}}
      - {match: {origin: ibgp}, set: {prepend: 3, community: {replace: [no-export]}}, then: reject}
      - {otherwise: accept}
  tests:
    - name: everything
      steps:
        - trace: {from: h, to: "b:eth1", proto: udp, port: 53, family: ipv6, count: 3}
          within: 500ms
          expect: {reachable: true, forward: [h, c, b], return: [b, c, h], symmetric: true}
        - no-transit: {node: b, except: customers}
        - route: {node: a, prefix: 203.0.113.0/24}
          expect: {present: false, as-path: [], next-hops: [b, 10.0.0.1], best-because: med}
        - session: {node: a, neighbor: "b:eth1"}
          expect: {state: idle}
        - exec: {node: h, command: "true"}
          expect: {exit: 0, output: x}
        - fault: {link-down: ["a:eth1", "b:eth1"]}
        - fault: {link-up: ["a:eth1", "b:eth1"]}
        - fault: {kill: a}
        - fault: {start: a}
        - fault: {kill-speaker: b}
        - fault: kill-controller
        - fault: {kill-controller: true}
        - fault: {reset-session: [a, b]}

  """
