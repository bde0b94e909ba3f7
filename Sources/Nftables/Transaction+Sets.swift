internal import CLinux
internal import Netlink

/// Flags of a set on the wire (enum nft_set_flags).
struct SetFlags: OptionSet {
  let rawValue: UInt32
  init(rawValue: UInt32) { self.rawValue = rawValue }
  private init(_ flag: nft_set_flags) { rawValue = flag.rawValue }

  static let anonymous = SetFlags(NFT_SET_ANONYMOUS)
  static let constant = SetFlags(NFT_SET_CONSTANT)
  static let interval = SetFlags(NFT_SET_INTERVAL)
  static let map = SetFlags(NFT_SET_MAP)
  static let timeout = SetFlags(NFT_SET_TIMEOUT)
  static let dynamic = SetFlags(NFT_SET_EVAL)
  static let concatenation = SetFlags(NFT_SET_CONCAT)

  init(_ shape: SetShape) {
    self = []
    if shape.isInterval { insert(.interval) }
    if shape.isMap { insert(.map) }
    if shape.timeout != nil { insert(.timeout) }
    if shape.isDynamic { insert(.dynamic) }
    if shape.isIntervalConcatenation { insert(.concatenation) }
  }
}

extension Transaction {
  /// A set or map with its elements (a dynamic one's are the packets' to add).
  public mutating func add(_ set: NamedSet, to table: TableID) {
    let subject = Subject.set(table, set.name)
    let id = nextSetID()
    add(set.shape, named: set.name, id, SetFlags(set.shape), set.shape.size, to: table, about: subject)
    add(set.elements, of: set.shape, to: table, set.name, id, about: subject)
  }

  /// The set of a rule that is about to be added.
  mutating func add(
    _ contents: SetContents, to table: TableID, for subject: Subject
  ) -> ExpressionWriter.PendingSet {
    let pending = ExpressionWriter.PendingSet(
      name: contents.shape.isMap ? "__map%d" : "__set%d", id: nextSetID())
    let flags = SetFlags(contents.shape).union([.anonymous, .constant])
    let size = contents.shape.isInterval ? nil : UInt32(contents.elements.count)
    add(contents.shape, named: pending.name, pending.id, flags, size, to: table, about: subject)
    add(contents.elements, of: contents.shape, to: table, pending.name, pending.id, about: subject)
    return pending
  }

  private mutating func add(
    _ shape: SetShape, named name: String, _ id: UInt32, _ flags: SetFlags, _ size: UInt32?, to table: TableID,
    about subject: Subject
  ) {
    append(.newSet, [.create, .exclusive], table.family, about: subject) { batch in
      batch.put(AttributeType(NFTA_SET_TABLE), table.name)
      batch.put(AttributeType(NFTA_SET_NAME), name)
      batch.put(network: flags.rawValue, AttributeType(NFTA_SET_FLAGS))
      batch.put(network: id, AttributeType(NFTA_SET_ID))
      batch.put(shape, size: size)
    }
  }

  /// Elements of a standing set.
  public mutating func add(_ elements: [SetElement], of shape: SetShape, to name: String, in table: TableID) {
    add(elements, of: shape, to: table, name, nil, about: .set(table, name))
  }

  public mutating func delete(_ elements: [SetElement], of shape: SetShape, from name: String, in table: TableID) {
    send(.deleteElements, elements.map { SetElement($0.key) }, of: shape, table, name, nil, about: .set(table, name))
  }

  private mutating func add(
    _ elements: [SetElement], of shape: SetShape, to table: TableID, _ name: String, _ id: UInt32?,
    about subject: Subject
  ) {
    send(.newElements, elements, of: shape, table, name, id, about: subject)
  }

  /// As many messages as it takes: an attribute, and the list of elements is one, has at most 65,535 bytes.
  private mutating func send(
    _ operation: TableOperation, _ elements: [SetElement], of shape: SetShape, _ table: TableID, _ name: String,
    _ id: UInt32?, about subject: Subject
  ) {
    var rest = elements[...]
    while !rest.isEmpty {
      let piece = rest.prefix(Self.elementsPerMessage(shape))
      rest = rest.dropFirst(piece.count)
      append(operation, operation == .newElements ? [.create, .exclusive] : [], table.family, about: subject) { batch in
        batch.put(AttributeType(NFTA_SET_ELEM_LIST_TABLE), table.name)
        batch.put(AttributeType(NFTA_SET_ELEM_LIST_SET), name)
        if let id { batch.put(network: id, AttributeType(NFTA_SET_ELEM_LIST_SET_ID)) }
        batch.nest(AttributeType(NFTA_SET_ELEM_LIST_ELEMENTS)) { batch in
          for element in piece { batch.put(element, of: shape) }
        }
      }
    }
  }

  private static func elementsPerMessage(_ shape: SetShape) -> Int {
    // Each end of a range repeats the attribute headers; a verdict names a chain of at most 255 bytes.
    let headers = 64
    let value =
      switch shape.answer {
      case .data(let fields, let isRange)?: DataType.length(of: fields) * (isRange ? 2 : 1)
      case .verdict?: 272
      case nil: 0
      }
    return 60_000 / (2 * (headers + DataType.length(of: shape.key)) + value)
  }

  public mutating func deleteSet(_ name: String, in table: TableID) {
    append(.deleteSet, [], table.family, about: .set(table, name)) { batch in
      batch.put(AttributeType(NFTA_SET_TABLE), table.name)
      batch.put(AttributeType(NFTA_SET_NAME), name)
    }
  }
}
