/// `a – b – c`, where only the second link declares a delay, and one test.
private func chain(_ test: String, rest: String = "") -> String {
  """
  name: t
  topology:
    nodes: {a: {kind: router, asn: 64500}, b: {kind: router, asn: 64501}, c: {kind: host}}
    links:
      - {endpoints: ["a:eth1", "b:eth1"], relation: peer-peer}
      - {endpoints: ["b:eth2", "c:eth1"], delay: 0}
  \(rest)
  tests:
    - {name: x, \(test)}
  """
}

private func steps(_ steps: String) -> String { chain("steps: [\(steps)]") }
private func fault(_ fault: String) -> String { steps("{fault: {\(fault)}}") }
private let ab = "link: [\"a:eth1\", \"b:eth1\"]"
private let bc = "link: [\"b:eth2\", \"c:eth1\"]"

/// `h` behind the switch `s`, `a – b` with a shaper on `a:eth1`, and one fault.
private func shaped(_ fault: String) -> String {
  """
  name: t
  topology:
    nodes:
      a: {kind: router, asn: 64500, qos: {eth1: {egress: {shape: {rate: 10mbit}}}}}
      b: {kind: router, asn: 64501}
      s: {kind: switch}
      h: {kind: host}
    links:
      - {endpoints: ["a:eth1", "b:eth1"], relation: peer-peer}
      - {endpoints: ["h:eth1", "s:p1"]}
      - {endpoints: ["b:eth2", "s:p2"]}
  tests:
    - {name: x, steps: [{fault: {\(fault)}}]}
  """
}
private let hs = "[\"h:eth1\", \"s:p1\"]"

private func sixteen(_ name: String) -> String { String(repeating: "${\(name)}", count: 16) }

private let brokenVariables: [Broken] = [
  Broken(
    "a variable that nobody knows", "did you mean `target`?",
    chain("variables: {target: c}, steps: [{trace: {from: a, to: §\"${taget}\"}}]")),
  Broken(
    "a variable where there is none", "`$${HOME}` for a shell's own",
    steps("{exec: {node: a, command: §\"echo ${HOME}\"}}")),
  Broken(
    "a variable without quotes", "stands in quotes, as \"${name}\"",
    chain("variables: {target: c}, steps: [{trace: {from: a, to: $§{target}}}]")),
  Broken(
    "a value that does not fit", "`5mbps`: did you mean `5mbit`?",
    chain("steps: [{rate: {from: a, to: c, rate: §\"${r}\", proto: udp}}], variables: {r: 5mbps}")),
  Broken(
    "a value of a matrix that does not fit", "did you mean `5mbit`? Expected",
    chain("steps: [{rate: {from: a, to: c, rate: §\"${r}\", proto: udp}}], matrix: {r: [1mbit, 5mbps], q: [1, 2]}")),
  Broken(
    "a mistake in every combination", "unknown node `d`",
    chain("steps: [{trace: {from: a, to: §d, proto: \"${p}\", port: 1}}], matrix: {p: [tcp, udp]}")),
  Broken(
    "variables that grow with every step", "more than 65536 bytes when its variables are replaced",
    chain(
      "variables: {a: 0123456789abcdef, b: \"\(sixteen("a"))\", c: \"\(sixteen("b"))\", d: \"\(sixteen("c"))\", "
        + "e: §\"\(sixteen("d"))\", f: \"\(sixteen("e"))\"}, steps: [{check: no-loops}]")),
  Broken("a matrix without values", "expected at least 1", chain("matrix: {r: §[]}, steps: [{check: no-loops}]")),
  Broken(
    "a matrix whose broken variable is used", "`r` is `5`; expected a list",
    chain("matrix: {r: §5}, steps: [{rate: {from: a, to: c, rate: \"${r}\", proto: udp}}]")),
  Broken(
    "a variable without a value", "`r` has no value",
    chain("variables: {r: §}, steps: [{rate: {from: a, to: c, rate: \"${r}\", proto: udp}}]")),
  Broken(
    "a value that stands twice", "stands twice", chain("matrix: {r: [1, 2, §1]}, steps: [{check: no-loops}]")),
  Broken(
    "a name under variables and matrix", "stands under `variables` too (line 9)",
    chain("variables: {r: 1}, matrix: {§r: [2, 3]}, steps: [{check: no-loops}]")),
  Broken(
    "a name that is none", "letters, digits", chain("variables: {§1st: c}, steps: [{trace: {from: a, to: c}}]")),
  Broken(
    "a matrix of more than a thousand", "more than 1000 combinations",
    chain(
      "§matrix: {x: [\((1...40).map(String.init).joined(separator: ","))], y: "
        + "[\((1...26).map(String.init).joined(separator: ","))]}, steps: [{check: no-loops}]")),
  Broken(
    "two keys that become one", "duplicate key `a`",
    chain(
      "variables: {n: a}, steps: [{plan: {topology: {nodes: {a: {routes: []}, §\"${n}\": {routes: []}}}}}]")),
]

private let brokenFaults: [Broken] = [
  Broken("a fault without how much", "has no `percent`", fault("§loss: {\(ab)}")),
  Broken("a loss in another unit", "from 0% to 100%", fault("loss: {\(ab), percent: §ten}")),
  Broken(
    "ends that are no link", "not the two ends of one link",
    fault("loss: {link: §[\"a:eth1\", \"c:eth1\"], percent: 1%}")),
  Broken(
    "a sender that is no end", "expected `a:eth1` or `b:eth1`", fault("loss: {\(ab), percent: 1%, from: §c}")),
  Broken(
    "another interface of a sender", "no end of the link", fault("loss: {\(ab), percent: 1%, from: §\"b:eth2\"}")),
  Broken(
    "a delay where none is declared", "(line 5) declares no `delay`",
    fault("delay: {link: §[\"a:eth1\", \"b:eth1\"], delay: 5ms}")),
  Broken(
    "a jitter where no delay is declared", "expected `delay: 0ms` there",
    fault("jitter: {link: §[\"a:eth1\", \"b:eth1\"], jitter: 5ms}")),
  Broken(
    "a loss both ways at a switch", "`from: s`, for what it sends", shaped("loss: {link: §\(hs), percent: 1%}")),
  Broken(
    "a loss that a switch would have to receive", "`s` is a switch",
    shaped("loss: {link: \(hs), percent: 1%, from: §h}")),
  Broken(
    "a rate where a shaper stands", "`a:eth1` is shaped already (line 4)",
    shaped("rate: {link: §[\"a:eth1\", \"b:eth1\"], rate: 5mbit}")),
  Broken(
    "a rate of the end that is shaped", "is shaped already",
    shaped("rate: {\(ab), rate: 5mbit, from: §a}")),
  Broken("a delay of more than 10 s", "from 0 to 10s", fault("delay: {\(bc), delay: §11s}")),
  Broken("a flap of next to no time", "from 10ms", fault("flap: {\(ab), down: §5ms}")),
  Broken("a flap that never happens", "from 1 to", fault("flap: {\(ab), times: §0}")),
  Broken("a partition into one group", "at least 2", fault("partition: §[[a, b]]")),
  Broken("a node in two groups", "each node in one group", fault("partition: [[a, b], [c, §a]]")),
  Broken("a partition with a stranger", "unknown node `d`", fault("partition: [[a], [§d]]")),
  Broken("two faults in one", "together", steps("{§fault: {kill: a, loss: {\(ab), percent: 1%}}}")),
]

private let brokenLoad: [Broken] = [
  Broken(
    "a rate beside packets", "beside `rate`",
    steps("{traffic: {from: a, to: c, rate: 1mbit, §packets-per-second: 5, for: 1s}}")),
  Broken("a port of echoes", "icmp has no ports", steps("{traffic: {from: a, to: c, proto: icmp, port: §5, for: 1s}}")),
  Broken("a datagram that is too small", "from 24b", steps("{traffic: {from: a, to: c, payload: §8b, for: 1s}}")),
  Broken("load of an unknown node", "unknown node", steps("{traffic: {from: §d, to: c, for: 1s}}")),
  Broken("load for no time at all", "no time", steps("§{traffic: {from: a, to: c}}")),
  Broken("load that is asked again", "judged when it ends", steps("{traffic: {from: a, to: c, for: 1s}, §within: 2s}")),
  Broken(
    "a bound that runs backwards", "less than `min`",
    steps("{traffic: {from: a, to: c, for: 1s}, expect: {mbit: {min: 2, max: §1}}}")),
  Broken(
    "an expectation of another load", "nothing a traffic",
    steps("{traffic: {from: a, to: c, for: 1s}, expect: {§limited-by: none}}")),
]

private let brokenWholes: [Broken] = [
  Broken("a check that does not exist", "did you mean `no-loops`?", steps("{check: [§no-loop]}")),
  Broken("a check that stands twice", "stands twice", steps("{check: [symmetric, §symmetric]}")),
  Broken("an expectation of a check", "takes none", steps("{check: no-loops, §expect: {reachable: true}}")),
  Broken(
    "lists at the same time within such lists", "unknown key `parallel`",
    steps("{parallel: [[{check: no-loops}], [{§parallel: [[{check: no-loops}], [{check: no-loops}]]}]]}")),
  Broken("one list at the same time", "at least 2", steps("{parallel: §[[{check: no-loops}]]}")),
  Broken(
    "within beside lists", "whose steps have their own",
    steps("{parallel: [[{check: no-loops}], [{check: symmetric}]], §within: 2s}")),
  Broken(
    "changes in two lists", "beside the one in line 9",
    steps("{parallel: [[{rollback: previous}], [§{rollback: previous}]]}")),
  Broken(
    "a command all the time", "unknown key `exec`",
    chain("steps: [{check: no-loops}], always: [{§exec: {node: a, command: x}}]")),
  Broken(
    "load all the time for a time", "runs all the time",
    chain("steps: [{check: no-loops}], always: [{traffic: {from: a, to: c, §for: 1s}}]")),
  Broken("a test that is never done", "from 1 to", chain("steps: [{check: no-loops}], repeat: §0")),
]

let brokenTestLanguage = brokenVariables + brokenFaults + brokenLoad + brokenWholes
