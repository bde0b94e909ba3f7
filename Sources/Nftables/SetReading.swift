internal import CLinux
internal import Netlink

/// A set of the kernel, with or without a name of its own, before its elements are read.
struct StandingSet {
  var table: TableID
  var name: String
  var isAnonymous: Bool
  var shape: SetShape

  init?(_ message: Message) {
    guard let header = message.header(as: nfgenmsg.self) else { return nil }
    var fields = Fields()
    var table = ""
    name = ""
    for attribute in message.attributes(after: nfgenmsg.self) {
      switch attribute.type {
      case AttributeType(NFTA_SET_TABLE): table = attribute.string
      case AttributeType(NFTA_SET_NAME): name = attribute.string
      default: fields.read(attribute)
      }
    }
    guard let shape = fields.shape else { return nil }
    self.table = TableID(TableFamily(rawValue: header.nfgen_family), table)
    self.shape = shape
    isAnonymous = fields.flags.contains(.anonymous)
  }

  /// What a shape is put together from.
  private struct Fields {
    var flags: SetFlags = []
    var keyType: UInt32 = 0
    var keyLength = 0
    var dataType: UInt32 = 0
    var dataLength = 0
    var timeout: UInt64 = 0
    var size: UInt32?
    var fieldLengths: [Int] = []
    var userData = UserData()

    mutating func read(_ attribute: Attribute) {
      switch attribute.type {
      case AttributeType(NFTA_SET_FLAGS): flags = SetFlags(rawValue: attribute.network() ?? 0)
      case AttributeType(NFTA_SET_KEY_TYPE): keyType = attribute.network() ?? 0
      case AttributeType(NFTA_SET_KEY_LEN): keyLength = Int(attribute.network(UInt32.self) ?? 0)
      case AttributeType(NFTA_SET_DATA_TYPE): dataType = attribute.network() ?? 0
      case AttributeType(NFTA_SET_DATA_LEN): dataLength = Int(attribute.network(UInt32.self) ?? 0)
      case AttributeType(NFTA_SET_TIMEOUT): timeout = attribute.network() ?? 0
      case AttributeType(NFTA_SET_USERDATA): userData = UserData(attribute.value)
      case AttributeType(NFTA_SET_DESC): attribute.nested.forEach { readDescription($0) }
      default: break
      }
    }

    private mutating func readDescription(_ attribute: Attribute) {
      switch attribute.type {
      case AttributeType(NFTA_SET_DESC_SIZE): size = attribute.network()
      case AttributeType(NFTA_SET_DESC_CONCAT):
        fieldLengths = attribute.nested.compactMap { field in
          field.nested.first { $0.type == AttributeType(NFTA_SET_FIELD_LEN) }?.network(UInt32.self).map(Int.init)
        }
      default: break
      }
    }

    var shape: SetShape? {
      let key = DataType.fields(
        keyType, length: keyLength, fieldLengths,
        isHostOrder: SetShape.isHostOrder(userData, UInt8(NFTNL_UDATA_SET_KEYBYTEORDER.rawValue)))
      guard !key.isEmpty else { return nil }
      // Of sets without a name the size is how many elements there are.
      return SetShape(
        key, to: answer, isInterval: flags.contains(.interval), isDynamic: flags.contains(.dynamic),
        timeout: flags.contains(.timeout) ? timeout : nil, size: flags.contains(.anonymous) ? nil : size)
    }

    private var answer: SetShape.Answer? {
      guard flags.contains(.map) else { return nil }
      guard dataType != UInt32(NFT_SET_VERDICTS) else { return .verdict }
      let isRange = userData.number(UInt8(NFTNL_UDATA_SET_DATA_INTERVAL.rawValue)) == 1
      return .data(
        DataType.fields(
          dataType, length: isRange ? dataLength / 2 : dataLength, [],
          isHostOrder: SetShape.isHostOrder(userData, UInt8(NFTNL_UDATA_SET_DATABYTEORDER.rawValue))),
        isRange: isRange)
    }
  }
}

/// Elements of a set as messages bring them: intervals of a single key come as beginnings and ends, in any order.
struct ElementCollector {
  private let shape: SetShape
  private var whole: [SetElement] = []
  private var begins: [SetElement] = []
  private var ends: [[UInt8]] = []

  init(_ shape: SetShape) { self.shape = shape }

  mutating func read(_ message: Message) {
    for list in message.attributes(after: nfgenmsg.self)
    where list.type == AttributeType(NFTA_SET_ELEM_LIST_ELEMENTS) {
      for attribute in list.nested { read(attribute) }
    }
  }

  mutating func add(_ other: ElementCollector) {
    whole += other.whole
    begins += other.begins
    ends += other.ends
  }

  private mutating func read(_ list: Attribute) {
    var element = SetElement(.otherwise)
    var flags: UInt32 = 0
    for attribute in list.nested {
      switch attribute.type {
      case AttributeType(NFTA_SET_ELEM_KEY): element.key = SetKey(attribute.data ?? [])
      case AttributeType(NFTA_SET_ELEM_FLAGS): flags = attribute.network() ?? 0
      default: element.read(attribute)
      }
    }
    // The key's end is in an attribute of its own, which may come before the key.
    for attribute in list.nested where attribute.type == AttributeType(NFTA_SET_ELEM_KEY_END) {
      element.key.last = attribute.data ?? element.key.last
    }
    if flags & NFT_SET_ELEM_INTERVAL_END.rawValue != 0 {
      ends.append(element.key.first)
    } else if shape.isInterval, !shape.isIntervalConcatenation, !element.key.isCatchAll {
      begins.append(element)
    } else {
      whole.append(element)
    }
  }

  /// A beginning reaches to the value before the next end or beginning, or to the last value there is.
  var elements: [SetElement] {
    let sorted = begins.sorted { $0.key.first.lexicographicallyPrecedes($1.key.first) }
    let stops = (ends + sorted.map(\.key.first)).sorted { $0.lexicographicallyPrecedes($1) }
    var next = 0
    return whole
      + sorted.map { element in
        while next < stops.count, !element.key.first.lexicographicallyPrecedes(stops[next]) { next += 1 }
        var element = element
        let last = next < stops.count ? stops[next].predecessor : nil
        element.key.last = last ?? [UInt8](repeating: 255, count: element.key.first.count)
        return element
      }
  }
}

extension SetElement {
  fileprivate mutating func read(_ attribute: Attribute) {
    switch attribute.type {
    case AttributeType(NFTA_SET_ELEM_DATA):
      value = attribute.data.map(Value.data) ?? attribute.verdict.map(Value.verdict)
    case AttributeType(NFTA_SET_ELEM_TIMEOUT): timeout = attribute.network()
    case AttributeType(NFTA_SET_ELEM_EXPIRATION): expires = attribute.network()
    case AttributeType(NFTA_SET_ELEM_EXPR): counter = Expression.Counter(attribute) ?? counter
    case AttributeType(NFTA_SET_ELEM_EXPRESSIONS):
      for expression in attribute.nested { counter = Expression.Counter(expression) ?? counter }
    default: break
    }
  }
}

extension Expression.Counter {
  /// An expression of an element: libnftnl reads those of rules only.
  fileprivate init?(_ expression: Attribute) {
    guard expression.nested.contains(where: { $0.type == AttributeType(NFTA_EXPR_NAME) && $0.string == Self.name })
    else { return nil }
    self.init()
    for part in expression.nested where part.type == AttributeType(NFTA_EXPR_DATA) {
      for attribute in part.nested {
        switch attribute.type {
        case AttributeType(NFTA_COUNTER_PACKETS): packets = attribute.network() ?? 0
        case AttributeType(NFTA_COUNTER_BYTES): bytes = attribute.network() ?? 0
        default: break
        }
      }
    }
  }
}

extension Attribute {
  /// enum nft_data_attributes
  fileprivate var data: [UInt8]? {
    nested.first { $0.type == AttributeType(NFTA_DATA_VALUE) }.map { Array($0.value) }
  }

  fileprivate var verdict: Verdict? {
    guard let parts = nested.first(where: { $0.type == AttributeType(NFTA_DATA_VERDICT) })?.nested else { return nil }
    var code: Int32?
    var chain: String?
    for part in parts {
      switch part.type {
      case AttributeType(NFTA_VERDICT_CODE): code = part.network()
      case AttributeType(NFTA_VERDICT_CHAIN): chain = part.string
      default: break
      }
    }
    return code.flatMap { Verdict(code: $0, chain: chain) }
  }
}

extension DataType {
  private static let known: [UInt32: DataType] = Dictionary(
    uniqueKeysWithValues: [
      ipv4Address, ipv6Address, macAddress, transportProtocol, port, mark, classID, userID, connectionState, dscp,
      interfaceName,
    ].map { ($0.number, $0) })

  /// The fields that a type number means. The lengths of a concatenation's are told for intervals; otherwise they are
  /// those of the known types, and what is left over belongs to the unknown one.
  static func fields(_ number: UInt32, length: Int, _ lengths: [Int], isHostOrder: Bool) -> [DataType] {
    var numbers: [UInt32] = []
    var rest = number
    repeat {
      numbers.insert(rest & (1 << bitsOfOne - 1), at: 0)
      rest >>= bitsOfOne
    } while rest > 0
    guard numbers.count > 1 else { return [DataType(number: number, length: length, isHostOrder: isHostOrder)] }
    let taken = numbers.reduce(0) { $0 + ((known[$1]?.length ?? 0) + 3) & ~3 }
    return numbers.enumerated().map { index, number in
      if lengths.count == numbers.count {
        return known[number]?.as(lengths[index]) ?? DataType(number: number, length: lengths[index])
      }
      return known[number] ?? DataType(number: number, length: max(length - taken, 0))
    }
  }

  private func `as`(_ length: Int) -> DataType { DataType(number: number, length: length, isHostOrder: isHostOrder) }
}
