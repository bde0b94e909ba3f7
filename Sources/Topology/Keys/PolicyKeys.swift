/// `policies:` of both files.
enum PolicyKeys {
  static let statements = Shape.list(.record(statement), example: "[{match: {origin: local}, then: accept}]")

  static let policies = Shape.names(
    .policyName, statements,
    example: "own-only: [{match: {origin: local}, then: accept}, {otherwise: reject}]")

  private static let verdict = Shape.scalar(.word(["accept", "reject"]))

  static let statement = Record(
    "a statement", atLeastOne: ["match", "set", "then", "otherwise"],
    keys: [
      Key("match", .record(match), "routes it is for; all of them unless written"),
      Key("set", .record(set), "attributes it changes"),
      Key("then", verdict, "ends the policy; without it a statement with `set` goes on, one without accepts"),
      Key("otherwise", verdict, "closes the policy, alone in its statement"),
    ])

  private static func oneOrMore(_ form: ScalarForm, example: String) -> Shape {
    .either([.scalar(form), .list(.scalar(form), count: 1...10_000, example: example)])
  }

  private static let match = Record(
    "`match`", atLeastOne: ["prefix", "as-path", "community", "large-community", "origin", "neighbor"],
    keys: [
      Key("prefix", oneOrMore(.prefixRange, example: "[\"10.0.0.0/8 le 24\"]"), "with `ge` and `le` for lengths"),
      Key("as-path", oneOrMore(.asPathPattern, example: "[\"^65001_\"]"), "regular expressions, `_` a boundary"),
      Key("community", oneOrMore(.communityPattern, example: "[65001:100]"), "RFC 1997, `*` for any part"),
      Key("large-community", oneOrMore(.largeCommunityPattern, example: "[65001:1:2]"), "RFC 8092"),
      Key("origin", oneOrMore(.word(["local", "ebgp", "ibgp"]), example: "[local]"), "how we know it"),
      Key(
        "neighbor", oneOrMore(.text("a neighbor's name"), example: "[isp1]"),
        "the far end of the session: who sent it on import, who is to get it on export"),
      .notYet("rpki", "origin validation"),
    ])

  private static func change(_ noun: String, _ value: ScalarForm, _ pattern: ScalarForm) -> Record {
    Record(
      noun, atLeastOne: ["add", "remove", "replace"],
      keys: [
        Key("add", oneOrMore(value, example: "[65001:100]"), "beside what is there"),
        Key("remove", oneOrMore(pattern, example: "[\"65001:*\"]"), "what matches"),
        Key(
          "replace", .either([.scalar(value), .list(.scalar(value), example: "[65001:100]")]),
          "instead of all there are; an empty list removes all"),
      ])
  }

  private static let prepend = Shape.either([
    .scalar(.integer(1...100)),
    .record(
      Record(
        "`prepend`",
        keys: [
          Key("asn", .scalar(.asn), "our own unless written"),
          Key("times", .scalar(.integer(1...100)), .required, "how often"),
        ])),
  ])

  private static let set = Record(
    "`set`", atLeastOne: ["local-pref", "med", "prepend", "community", "large-community", "next-hop", "weight"],
    keys: [
      Key("local-pref", .scalar(.integer(0...Int(UInt32.max))), "higher wins inside the AS"),
      Key("med", .scalar(.integer(0...Int(UInt32.max))), "lower wins among routes of one neighboring AS"),
      Key("prepend", prepend, "makes the AS path longer: `3`, or `{asn: 64512, times: 3}`"),
      Key("community", .record(change("`community`", .community, .communityPattern)), "add, remove, replace"),
      Key(
        "large-community", .record(change("`large-community`", .largeCommunity, .largeCommunityPattern)),
        "add, remove, replace"),
      Key("next-hop", .scalar(.address), "of the family of the route"),
      Key("weight", .scalar(.integer(0...65535)), "higher wins on this router only"),
    ])
}
