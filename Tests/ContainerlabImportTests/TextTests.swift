import ContainerlabImport
import Foundation
import Testing
import Topology

@Test(arguments: [
  ("${V}", "set", "set"), ("$V", "set", "set"), ("${V}", nil, "${V}"), ("$V", nil, "$V"),
  ("${V:=d}", nil, "d"), ("${V:=d}", "", "d"), ("${V:=d}", "set", "set"), ("${V:-d:1}", nil, "d:1"),
  ("${V=d}", nil, "d"), ("${V=d}", "", ""), ("${V-d}", "set", "set"),
  ("${V:+o}", nil, ""), ("${V:+o}", "", ""), ("${V:+o}", "set", "o"), ("${V+o}", "", "o"),
  ("${V:=${W:=deep}}", nil, "deep"), ("a${V}b$V-c", "x", "axbx-c"),
  ("$1 $$ $(V) ${} ${1} $ ${V", "set", "$1 $$ $(V) ${} ${1} $ ${V"), ("${V!}", "set", "${V!}"),
])
func variablesAreReplacedAsContainerlabDoes(written: String, value: String?, becomes: String) throws {
  let result = try imported(
    "name: t\ntopology:\n  nodes:\n    a:\n      kind: linux\n      env: {X: '\(written)'}\n",
    environment: value.map { ["V": $0] } ?? [:])
  #expect(result.lab.node("a")?.environment == ["X=\(becomes)"])
  #expect(result.text.contains("environment: V.") == (value != nil && becomes != written))
}

@Test func placesAreThoseOfTheFileAndNotOfWhatVariablesMadeOfIt() throws {
  let text = "name: ${LONG}\ntopology: {nodes: {a: {kind: ${LONG}, x: 1, image: $A}, b: {kind: linux, y: 1}}}\n"
  for value in ["x", String(repeating: "long", count: 20), "linux"] {
    let result = try imported(text, environment: ["LONG": value, "A": "multi-word"])
    let unknown = result.findings.filter { $0.message.contains("`y` of `b`") }.map { "\($0.place)" }
    #expect(unknown == ["lab.clab.yml:2:74"])
  }
  // A value of several lines does not move what follows it.
  let result = try imported(
    "name: t #$LINES\ntopology: {nodes: {b: {kind: linux, y: 1}}}\n", environment: ["LINES": "1\n\n#2"])
  #expect(result.lost == ["2:37: `y` of `b`: netloom has nothing of that name"])
}

@Test(arguments: [
  ("", "1:1: the file is empty"),
  ("- a", "1:1: the file is a list"),
  ("just text", "1:1: the file is `just text`"),
  ("name: t\nname: u\ntopology: {nodes: {}}", "1:1: duplicate keys"),
  ("name: t\ntopology: {nodes: {a: {kind: linux}}", "3:1: YAML syntax"),
  ("topology: {nodes: {a: {kind: linux}}}", "1:1: the lab has no `name`"),
  ("name: t", "1:1: `topology` is missing"),
  ("name: t\ntopology: [a]", "2:11: `topology` is a list"),
  ("name: t\ntopology: {nodes: [a]}", "2:19: `nodes` is a list"),
  ("name: t\ntopology: {nodes: {}}", "2:19: no node"),
  ("name: t\ntopology: {nodes: {a: linux}}", "2:23: node `a` is `linux`; expected a mapping"),
  ("name: t\ntopology: {nodes: {a: {}}}", "2:20: node `a` has no `kind`"),
  ("name: t\ntopology: {nodes: {a: {kind: linux, exec: ls}}}", "2:43: `exec` is `ls`; expected a list"),
  ("name: t\ntopology: {nodes: {a: {kind: linux, exec: [[ls]]}}}", "2:44: an item of `exec` is a list"),
  ("name: t\ntopology: {nodes: {a: {kind: linux}}, links: [x]}", "2:47: a link is `x`"),
  ("name: t\ntopology: {nodes: {a: {kind: linux}}, links: [{endpoints: [\"a:eth1\"]}]}", "2:59: a link needs"),
  (
    "name: t\ntopology: {nodes: {a: {kind: linux}}, links: [{endpoints: [\"a:eth1\", \"b:eth1\"]}]}",
    "2:70: unknown node `b`"
  ),
  (
    "name: t\ntopology: {nodes: {a: {kind: linux}, b: {kind: linux}}, links: [{endpoints: [\"a:1\", \"b:1\"]}, {endpoints: [\"a:1\", \"b:2\"]}]}",
    "2:107: `a:1` is already used in line 2"
  ),
  (
    "name: t\ntopology: {nodes: {a: {kind: linux}, b: {kind: linux}}, links: [{endpoints: [\"a:1\", \"b:1\"], mtu: big}]}",
    "2:98: mtu: `big`"
  ),
  (
    "name: t\ntopology: {nodes: {a: {kind: linux, binds: [\"no.conf:/etc/frr/frr.conf\"]}}}",
    "2:45: configuration of `a`"
  ),
  ("name: t\ntopology:\n  nodes:\n{{ range }}\n", "4:1: a Go template"),
])
func aWrongFileIsRefusedWithItsPlace(text: String, message: String) throws {
  let found = try errors(text)
  #expect(found.contains { $0.hasPrefix(message) }, "\(found)")
}

@Test func everyErrorIsSaidAtOnce() throws {
  #expect(
    try errors(
      """
      topology:
        nodes: {a: {}, b: {kind: linux, env: [x]}, c: {kind: linux}}
        links: [{endpoints: ["c:eth1", "d:eth1"]}, {}]
      """
    ).map { $0.prefix { $0 != " " } } == ["1:1:", "2:11:", "2:40:", "3:34:", "3:46:"])
}

@Test func aFileThatIsNoTextIsRefused() throws {
  let clab = try ClabFolder(["a.yml": "name: t\nx: \u{1}", "big.yml": String(repeating: "#", count: 5 << 20)])
  try Data([0x61, 0xFF]).write(to: URL(fileURLWithPath: clab.path + "/latin.yml"))
  func message(_ name: String) -> String? {
    ContainerlabFile.load(path: clab.path + "/" + name, environment: [:], target: .standardOutput).diagnostics.first.map
    {
      "\($0.place.line):\($0.place.column) \($0.message)"
    }
  }
  #expect(message("a.yml")?.hasPrefix("2:4 byte 0x1 in a binary file") == true)
  #expect(message("big.yml")?.contains("larger than 4 MiB") == true)
  #expect(message("latin.yml")?.contains("not UTF-8") == true)
  #expect(message("none.yml")?.contains("No such file") == true)
  #expect(message("")?.contains("is a directory") == true)
}

private let boundless: [String: String] = [
  "lists": String(repeating: "[", count: 100_000),
  "mappings": String(repeating: "{a: ", count: 100_000),
  "items": String(repeating: "- ", count: 100_000) + "a",
  "indentation": (0..<900).map { String(repeating: " ", count: $0) + "a:\n" }.joined(),
  "aliases": "a0: &a0 [x]\n" + (1..<40).map { "a\($0): &a\($0) [*a\($0 - 1), *a\($0 - 1)]\n" }.joined(),
  "aliases as keys": "a0: &a0 [x]\n"
    + (1..<40).map { "a\($0): &a\($0) {*a\($0 - 1): 1, b: *a\($0 - 1)}\n" }.joined(),
]

@Test(arguments: boundless.keys.sorted())
func whatWouldGrowWithoutEndIsRefused(name: String) throws {
  let text = try #require(boundless[name])
  #expect(try !errors(text).isEmpty)
}

@Test func everyTextSurvivesTheWayThroughTheFile() throws {
  let texts = [
    "", " ", "a b", "yes", "null", "~", "1e3", "0x10", "a: b", "a #b", "- x", "*x", "&x", "!x", "%x", "@x", "`x", "'",
    "\"",
    "\\", "a\nb", "a\tb", "é ü 漢", "\u{2028}\u{85}", "{a}", "[a]", "x:", ":x", "2001:db8::1", "8080:80", "a,b",
    "trailing ", "|", ">",
  ]
  let quoted = texts.enumerated().map { index, text in
    let escaped = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
      .replacing("\t", with: "\\t").replacing("\u{2028}", with: "\\L").replacing("\u{85}", with: "\\N")
    return "\"k\(index)\": \"\(escaped)\""
  }
  let result = try imported(
    "name: t\ntopology: {nodes: {a: {kind: linux, labels: {\(quoted.joined(separator: ", "))}}}}")
  let labels = try #require(result.lab.node("a")?.labels)
  #expect(texts.indices.map { labels["k\($0)"] } == texts)
}
