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
      "a mapping where a scalar belongs", "a kind that does not exist", "no limit", "memory without a unit",
      "a bind without a destination",
      "readiness at no path",
      "a drift that does not exist", "two words in a nat rule", "a rate without a unit", "a rate with a unit of others",
      "a code point that does not exist", "a published port without the node's",
      "an empty match", "a flow specification without an action", "an apply of nothing",
      "a key that cannot change", "an AS with letters", "a network without a length",
      "a loopback that is a subnet", "a sysctl of the machine", "a command that is not in a list", "three endpoints",
      "a link without endpoints", "a long interface name", "an address without a length", "one list of addresses",
      "a delay without a unit", "a loss without its sign", "a link's rate in a unit of others",
      "a relation that does not exist", "an md5 password of 81 bytes",
      "a time with a wrong unit", "add-path", "rpki", "an empty statement", "a wildcard that is set",
      "a test without steps", "two words in a step", "a check that does not exist", "a partition into one group",
      "lists at the same time within such lists", "a command all the time", "a matrix without values",
      "a fault without how much", "a mesh without services",
      "a time without a unit", "a reason that does not exist",
    ]
    let broken = allBrokenLabs.filter { forms.contains($0.about) }
    #expect(broken.count == forms.count)
    let answers = try #require(try verdicts(schema: TopologySchema.lab(), broken.map(\.text)))
    for (one, answer) in zip(broken, answers) { #expect(answer == [false, false], "\(one.about)") }
  }

  @Test func ofAChangeTakesNullAndRefusesWhatCannotChange() throws {
    let good = [
      "topology: {nodes: {a: {nat: null, qos: ~, bgp: {multipath: 2}, path: {match: {dscp: ef}, via: [b]}}}}",
      "policies: {p: null, q: [{then: accept}]}",
    ]
    let bad = [
      "topology: {nodes: {a: {kind: host}}}", "name: t\npolicies: {p: null}", "{}", "topology: {nodes: {a: {}}}",
    ]
    let answers = try #require(try verdicts(schema: TopologySchema.change(), good + bad))
    #expect(answers == good.map { _ in [true, true] } + bad.map { _ in [false, false] })
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

  @Test func ofAPipelineFileTakesItsSample() throws {
    let bad = [
      contractPipeline.replacingOccurrences(of: "hold: 5s", with: "hold: 5"),
      contractPipeline.replacingOccurrences(of: "load: 100/s", with: "load: 100"),
      contractPipeline.replacingOccurrences(of: "approve:  manual", with: "approve:  maybe"),
      contractPipeline.replacingOccurrences(of: "build: ", with: "biuld: "),
    ]
    let answers = try #require(try verdicts(schema: TopologySchema.pipeline(), [contractPipeline] + bad))
    #expect(answers == [[true, true]] + bad.map { _ in [false, false] })
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
        nat:
          - {snat: {out: eth1, from: [192.168.1.0/24, 192.168.3.1], destination: 192.0.2.0/24, proto: tcp, port: 80-90,
                    to: 203.0.113.10-203.0.113.20, ports: 1024-65535, persistent: true, random: true}}
          - {snat: {out: [eth1], to: 203.0.113.16/28}}
          - {masquerade: {out: eth1, from: "2001:db8:7::/64", ports: 1024-65535, random: false}}
          - {dnat: {in: eth1, proto: udp, port: [53, 5353], address: 203.0.113.10, to: 192.168.1.10, hairpin: false}}
          - {dnat: {in: eth1, proto: tcp, port: 8000-8080, to: "192.168.1.10:8000-8080"}}
          - {dnat: {in: eth1, proto: tcp, port: 443, to: "[2001:db8:7::1]:8443"}}
          - {map: {inside: "2001:db8:7::/64", outside: "2001:db8:9::/64"}}
          - {zone: {in: eth1, id: 5}}
        filter:
          - {match: {in: eth1, out: [eth1], from: 10.0.0.0/8, to: [192.0.2.1], proto: tcp, port: [80, "443-445"],
                     source-port: 1024-65535, state: [new, established], connections-over: 100, dscp: [ef, 10]}, then: reject}
          - {otherwise: drop}
        qos:
          eth1:
            egress:
              shape: {rate: 1.5mbit, burst: 16kb, limit: 1mb}
              classes: [{name: voice, match: {dscp: ef, proto: udp}, rate: 500kbit, ceil: 1mbit, priority: 0, limit: 64kb}]
              mark: [{match: {proto: tcp, port: 22}, dscp: cs2}, {dscp: 0}]
            ingress: {police: [{packets: 100, burst: 10, per: source, match: {proto: icmp}}, {rate: 5mbit, per: flow}]}
        path:
          - {match: {in: eth1, from: 10.0.0.0/8, to: 192.0.2.0/24, proto: tcp, port: 80, source-port: 1024-65535, dscp: ef}, via: ["b:eth1", c]}
        flowspec:
          - {match: {from: 10.0.0.0/8, to: 192.0.2.1, proto: [tcp, 17], port: 80, source-port: 53, destination-port: [80-90],
                     length: 64-128, dscp: af11, fragment: false}, then: [{rate: 1mbit}, {mark: af11}]}
          - {match: {family: ipv4, proto: icmp, icmp-type: 8, icmp-code: 0}, then: drop}
          - {match: {proto: tcp, tcp-flags: [syn]}, then: {packets: 100}}
          - {match: {to: 192.0.2.9}, then: {redirect: 10.0.0.1}}
        labels: {site: west}
        routes: [{to: "2001:db8:9::/48", via: b}, {to: 198.18.0.0/15, via: "b:eth1"},
                 {to: 198.51.100.0/24, via: {b: 3}}, {to: 192.0.2.0/24, via: [b]}]
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
      s: {kind: switch, qos: {eth1: {egress: {shape: {rate: 1gbit}}}}}
      h: {kind: host, publish: ["8080:80"]}
    links:
      - {endpoints: ["a:eth1", "b:eth1"], relation: customer-provider, roles: false, mtu: 9000, cost: 10}
      - {endpoints: [b, s], delay: 0}
      - {endpoints: [c, s], delay: 10ms, jitter: 500us, rate: 1.5mbit}
      - {endpoints: [h, c], addresses: [[192.168.1.2/24], [192.168.1.1/24]], loss: 0.25%}
  drift: repair
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
        - nat: {node: a, flow: {from: h, to: b, proto: udp, port: 53, family: ipv4}}
          expect: {translated: 10.0.0.1, source: 10.0.0.1, destination: 10.0.0.1, reachable: true}
        - nat: {node: a, flow: {from: h, to: b}}
          expect: {translated: false}
        - rate: {from: h, to: b, proto: udp, port: 9, for: 500ms, offer: 20mbit, dscp: ef, family: ipv6}
          expect: {mbit: {min: 9.5, max: 10}, limited-by: policing, delay: {max: 5ms}}
        - rate: {from: h, to: b, rate: 20mbit}
        - plan: {topology: {nodes: {a: {nat: null, routes: []}}}}
          expect: {nodes: [a]}
        - apply: {topology: {nodes: {a: {nat: null, qos: ~}, b: {congestion: reno}}}, policies: {p2: [{then: accept}]}, confirm-within: 5s}
          expect: {applied: true, nodes: [b, a]}
        - rollback: previous
        - rollback: 3
        - rollback: {to: 1}
        - traffic: {from: h, to: "${far}", proto: udp, port: 53, rate: 1mbit, payload: 200b, dscp: ef, family: ipv4}
          expect: {lost: {max: 0}, loss: {max: 0.5%}, outage: {max: 500ms}, mbit: {min: 0.9}, delay: {max: 5ms}}
        - traffic: {from: h, to: b, packets-per-second: "${pps}", payload: 64, for: 2s}
          expect: {reachable: "${yes}"}
        - check: no-loops
        - check: [valley-free, symmetric]
          within: 2s
        - fault: {flap: {link: ["a:eth1", "b:eth1"], down: 200ms, up: 800ms, times: 5}}
        - fault: {flap: {link: ["a:eth1", "b:eth1"]}}
        - fault: {loss: {link: ["a:eth1", "b:eth1"], percent: "${loss}", from: a}}
        - fault: {delay: {link: ["b:eth2", "s:eth1"], delay: 50ms, from: "b:eth2"}}
        - fault: {jitter: {link: ["b:eth2", "s:eth1"], jitter: 0}}
        - fault: {rate: {link: ["a:eth1", "b:eth1"], rate: 5mbit, from: b}}
        - fault: {rate: {link: ["a:eth1", "b:eth1"], rate: 0, from: "b:eth1"}}
        - fault: {partition: [[a, h], [b]]}
        - parallel:
            - [{exec: {node: h, command: "sleep 1"}}, {fault: {kill: a}}]
            - [{trace: {from: h, to: b}, within: 2s, expect: {reachable: false}}]
      check: [no-loops, valley-free, no-transit, reachability, no-blackhole, fib-equals-rib, symmetric]
      always: [{check: no-loops}, {traffic: {from: h, to: b}, expect: {lost: {max: 9}}}, {trace: {from: h, to: b}}]
      repeat: 3
      variables: {far: b, loss: 10%}
      matrix: {pps: [10, 100], yes: [true]}
    - {name: "whole ${lab}", check: reachability}
  variables: {lab: wide}

  """
