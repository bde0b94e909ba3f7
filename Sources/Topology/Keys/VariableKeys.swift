/// `variables:` of a file or a test, and `matrix:` of a test. `TestExpansion` puts their values in place of `${NAME}`.
enum VariableKeys {
  static let name = ScalarForm(
    "a name of letters, digits, `_` and `-`", schema: .text("^[A-Za-z_][A-Za-z0-9_-]*$")
  ) { text in
    guard let first = text.utf8.first, !(48...57).contains(first), first != UInt8(ascii: "-") else { return .plain }
    return text.utf8.allSatisfy(isNameByte) ? nil : .plain
  }

  static func isNameByte(_ byte: UInt8) -> Bool {
    (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte) || byte == 95 || byte == 45
  }

  static let variables = Shape.names(name, .scalar(.anyText), example: "target: web")

  static let matrix = Shape.names(
    name, .list(.scalar(.anyText), count: 1...TestExpansion.combinationLimit, example: "[tcp, udp]"),
    example: "proto: [tcp, udp]")

  static let onFile = Key("variables", variables, "what `${NAME}` stands for in every test")
  static let onTest: [Key] = [
    Key("variables", variables, "what `${NAME}` stands for in this test"),
    Key("matrix", matrix, "one test for each combination of these values of `${NAME}`"),
  ]
}
