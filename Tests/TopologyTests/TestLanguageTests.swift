import NetTypes
import Testing
import Topology

/// `a – b – c` with what is given as its tests.
private func tests(_ text: String) throws -> [LabTest] {
  let parsed = parse(
    """
    name: t
    topology:
      nodes: {a: {kind: router, asn: 64500}, b: {kind: router, asn: 64501}, c: {kind: host}}
      links:
        - {endpoints: ["a:eth1", "b:eth1"], relation: peer-peer}
        - {endpoints: ["b:eth2", "c:eth1"], delay: 0}
    \(text)
    """)
  return try #require(parsed.value, "\(shown(parsed.diagnostics))").tests
}

private func faults(_ bodies: String...) throws -> [FaultStep] {
  let steps = bodies.map { "      - fault: {\($0)}" }.joined(separator: "\n")
  return try tests("tests:\n  - name: x\n    steps:\n\(steps)")[0].steps.compactMap {
    if case .fault(let fault) = $0.action { fault } else { nil }
  }
}

struct VariablesOfTests {
  @Test func aMatrixMakesATestOfEachCombinationTheLastNameFirst() throws {
    let tests = try tests(
      """
      tests:
        - name: reach
          matrix: {proto: [tcp, udp], family: [ipv4, ipv6]}
          steps: [{trace: {from: a, to: c, proto: "${proto}", family: "${family}", port: 80}}]
      """)
    #expect(
      tests.map(\.name) == [
        "reach [proto=tcp, family=ipv4]", "reach [proto=tcp, family=ipv6]", "reach [proto=udp, family=ipv4]",
        "reach [proto=udp, family=ipv6]",
      ])
    let traces = tests.flatMap(\.steps).compactMap { step -> TraceStep? in
      if case .trace(let trace) = step.action { trace } else { nil }
    }
    #expect(traces.map(\.transport) == [.tcp, .tcp, .udp, .udp])
    #expect(traces.map(\.family) == [.ipv4, .ipv6, .ipv4, .ipv6])
    #expect(tests.allSatisfy { $0.place.line == 8 && $0.steps.map(\.place.line) == [10] })
  }

  @Test func variablesOfATestGoBeforeThoseOfItsFileAndMayUseThem() throws {
    let tests = try tests(
      """
      variables: {far: c, port: 80, url: "http://${far}:${port}/"}
      tests:
        - {name: file, steps: [{exec: {node: a, command: "curl ${url}"}}]}
        - {name: own, variables: {far: b, url: "${far}/${port}"}, steps: [{exec: {node: "${far}", command: "curl ${url}"}}]}
      """)
    let commands = tests.flatMap(\.steps).compactMap { step -> String? in
      if case .exec(let exec) = step.action { "\(exec.node): \(exec.command)" } else { nil }
    }
    #expect(commands == ["a: curl http://c:80/", "b: curl b/80"])
  }

  @Test func whatIsMeantForAShellStays() throws {
    let tests = try tests(
      #"""
      tests:
        - name: shell
          steps:
            - exec: {node: a, command: "echo $${HOME} $HOME ${HOME:-x} $$ ${#x} $"}
      """#)
    guard case .exec(let step) = tests[0].steps[0].action else {
      Issue.record("no command")
      return
    }
    #expect(step.command == "echo ${HOME} $HOME ${HOME:-x} $$ ${#x} $")
  }

  @Test func whatOnlySomeCombinationsGetWrongIsSaidOnceAndOfWhich() {
    let parsed = parse(
      """
      name: t
      topology: {nodes: {a: {kind: router}, b: {kind: router}}, links: [{endpoints: [a, b]}]}
      tests:
        - name: x
          matrix: {to: [b, z, y], n: [1, 2]}
          steps:
            - trace: {from: q, to: "${to}", count: "${n}"}
      """)
    #expect(
      shown(parsed.errors) == """
        7:23 unknown node `q`; expected a name under `nodes:`
        7:30 unknown node `z`; expected a name under `nodes:` [to=z, n=1]
        """)
  }

  @Test func aTestsFileHasVariablesOfItsOwn() throws {
    let directory = try temporaryDirectory()
    _ = try temporaryFile(
      Array(
        """
        name: t
        topology: {nodes: {a: {kind: router}, b: {kind: router}}, links: [{endpoints: [a, b]}]}
        variables: {n: nobody}
        tests: [{name: lab's, steps: [{trace: {from: a, to: "${n}"}}]}]
        """.replacing("\"${n}\"", with: "b").utf8), directory: directory)
    let path = try temporaryFile(
      Array(
        "topology: lab.yaml\nvariables: {n: b}\ntests: [{name: own, steps: [{trace: {from: a, to: \"${n}\"}}]}]\n".utf8),
      name: "tests.yaml", directory: directory)
    let parsed = TopologyFile.load(path: path)
    #expect(parsed.value?.tests.map(\.name) == ["own"], "\(shown(parsed.diagnostics))")
  }
}

struct FaultsOfTests {
  private let ab = "link: [\"a:eth1\", \"b:eth1\"]"
  private let bc = "link: [\"c:eth1\", \"b:eth2\"]"

  @Test func amountsAreThoseOfTheInterface() throws {
    let read = try faults(
      "loss: {\(ab), percent: 0.25%, from: b}", "delay: {\(bc), delay: 50ms}",
      "jitter: {\(bc), jitter: 500us, from: \"c:eth1\"}",
      "rate: {\(ab), rate: 1.5mbit}", "rate: {\(ab), rate: 0}", "loss: {\(ab), percent: 0%}")
    #expect(read.map(\.kind) == [.loss, .delay, .jitter, .rate, .rate, .loss])
    #expect(read.map(\.percent) == [0.25, nil, nil, nil, nil, 0])
    #expect(read.map(\.microseconds) == [nil, 50_000, 500, nil, nil, nil])
    #expect(read.map(\.bitsPerSecond) == [nil, nil, nil, 1_500_000, 0, nil])
    #expect(read.map(\.from) == ["b", nil, "c", nil, nil, nil])
    #expect(read[1].targets == ["c:eth1", "b:eth2"])
  }

  @Test func whatASwitchSendsMayBeLostAndWhatTheOtherEndOfAShaperSendsHeldBack() throws {
    let parsed = TopologyFile.parse(
      text: """
        name: t
        topology:
          nodes:
            a: {kind: router, asn: 64500, qos: {eth1: {egress: {shape: {rate: 10mbit}}}}}
            b: {kind: router, asn: 64501}
            s: {kind: switch}
          links:
            - {endpoints: ["a:eth1", "b:eth1"], relation: peer-peer}
            - {endpoints: ["b:eth2", "s:p1"]}
        tests:
          - name: x
            steps:
              - fault: {loss: {link: ["b:eth2", "s:p1"], percent: 1%, from: s}}
              - fault: {rate: {link: ["a:eth1", "b:eth1"], rate: 5mbit, from: b}}
        """, file: "t.yaml", baseDirectory: "/")
    #expect(parsed.value?.tests.first?.steps.count == 2, "\(shown(parsed.diagnostics))")
  }

  @Test func aFlapIsASecondEachUnlessWritten() throws {
    let read = try faults("flap: {\(ab), down: 200ms, up: 800ms, times: 5}", "flap: {\(ab)}")
    #expect(read.map(\.downMilliseconds) == [200, 1000] && read.map(\.upMilliseconds) == [800, 1000])
    #expect(read.map(\.times) == [5, nil])
  }

  @Test func aPartitionHasItsGroups() throws {
    #expect(try faults("partition: [[a], [b, c]]").map(\.groups) == [[["a"], ["b", "c"]]])
  }
}

struct LoadAndWholesOfTests {
  @Test func trafficHasItsBoundsInTheUnitsOfTheReport() throws {
    let tests = try tests(
      """
      tests:
        - name: x
          always:
            - traffic: {from: a, to: c, proto: icmp}
          steps:
            - traffic: {from: a, to: "c:eth1", packets-per-second: 100, payload: 1kb, for: 1500ms, dscp: ef}
              expect: {lost: {max: 3}, loss: {max: 0.5%}, outage: {max: 250us}, mbit: {min: 1, max: 2}, delay: {max: 5ms}}
      """)
    guard case .traffic(let step) = tests[0].steps[0].action, case .traffic(let beside) = tests[0].always[0].action
    else {
      Issue.record("no traffic")
      return
    }
    #expect(step.transport == .udp && step.port == 5202 && step.packetsPerSecond == 100 && step.payload == 1024)
    #expect(step.milliseconds == 1500 && step.dscp == 46 && step.rate == nil && step.reachable == nil)
    #expect(step.maximumLost == 3 && step.maximumLoss == 0.5 && step.maximumOutage == 0.25)
    #expect(step.minimum == 1 && step.maximum == 2 && step.maximumDelay == 5)
    #expect(beside.transport == .icmp && beside.port == nil && beside.milliseconds == nil && beside.reachable == true)
  }

  @Test func aCheckOfATestComesAfterItsSteps() throws {
    let tests = try tests(
      """
      tests:
        - {name: alone, check: reachability}
        - name: behind
          check: [no-loops, symmetric]
          repeat: 3
          steps: [{fault: {kill: c}}]
      """)
    #expect(tests.map(\.times) == [1, 3])
    #expect(tests[0].steps.map(\.action) == [.check(CheckStep(words: ["reachability"]))])
    #expect(
      tests[1].steps.map(\.action) == [
        .fault(FaultStep(kind: .kill, targets: ["c"])), .check(CheckStep(words: ["no-loops", "symmetric"])),
      ])
    #expect(tests[1].steps[1].place.line == 10)
  }

  @Test func theWordsOfChecksAreThoseOfTheInterface() {
    // Contract of `POST /v1/check`.
    #expect(
      CheckStep.known == [
        "no-loops", "valley-free", "no-transit", "reachability", "no-blackhole", "fib-equals-rib", "symmetric",
      ])
  }

  @Test func listsAtTheSameTimeKeepTheirSteps() throws {
    let tests = try tests(
      """
      tests:
        - name: x
          steps:
            - parallel:
                - [{trace: {from: a, to: c}, within: 2s}, {check: no-loops}]
                - [{fault: {kill: c}}]
      """)
    guard case .parallel(let lists) = tests[0].steps[0].action else {
      Issue.record("no lists")
      return
    }
    #expect(lists.map(\.count) == [2, 1])
    #expect(lists[0][0].withinMilliseconds == 2000 && lists[0].map(\.place.line) == [11, 11])
  }
}
