/// What may stand at a place of a file. One value of this type per place drives the check with its messages
/// (`ShapeChecker`) and the JSON Schema (`SchemaWriter`), so the two cannot come apart.
indirect enum Shape: Sendable {
  case scalar(ScalarForm)
  case list(Shape, count: ClosedRange<Int>? = nil, example: String)
  /// Keys that the user chooses.
  case names(ScalarForm, Shape, example: String)
  case record(Record)
  /// Told apart by what is written: a scalar, a list or a mapping; at most one of each.
  case either([Shape])
  /// Or `null`, which takes away what stood there.
  case removable(Shape)
  /// With `${NAME}` in any scalar, which is replaced before the file is checked.
  case withVariables(Shape)
}

/// A mapping with known keys.
struct Record: Sendable {
  /// For messages: "unknown key `x` in NOUN".
  var noun: String
  var keys: [Key]
  /// Exactly one of these must be there (`fault:`, a test step, a statement with `otherwise`).
  var exactlyOne: [String] = []
  /// One of these must be there.
  var atLeastOne: [String] = []

  private let indexes: [String: Int]

  init(_ noun: String, exactlyOne: [String] = [], atLeastOne: [String] = [], keys: [Key]) {
    self.noun = noun
    self.keys = keys
    self.exactlyOne = exactlyOne
    self.atLeastOne = atLeastOne
    indexes = Dictionary(keys.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  func key(_ name: String) -> Key? { indexes[name].map { keys[$0] } }
}

/// One key of a record.
struct Key: Sendable {
  enum Status: Equatable, Sendable { case optional, required, notYet }

  var name: String
  var status: Status
  var shape: Shape
  var doc: String

  init(_ name: String, _ shape: Shape, _ doc: String) {
    self.init(name, shape, .optional, doc)
  }

  init(_ name: String, _ shape: Shape, _ status: Status, _ doc: String) {
    self.name = name
    self.status = status
    self.shape = shape
    self.doc = doc
  }

  /// Part of the contract, not of this version: refused by name.
  static func notYet(_ name: String, _ doc: String) -> Key {
    Key(name, .scalar(.text("nothing")), .notYet, doc)
  }
}
