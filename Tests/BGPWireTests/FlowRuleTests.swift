import BGPWire
import NetTypes
import Testing

private func rule(_ octets: [UInt8], _ family: AddressFamily = .ipv4) throws(FlowRuleFault) -> FlowRule {
  try FlowRule(decoding: octets, family)
}

private func list(_ nlri: [UInt8], _ family: AddressFamily = .ipv4) throws(FlowRuleFault) -> [FlowRule] {
  let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: nlri.count, alignment: 1)
  defer { buffer.deallocate() }
  buffer.copyBytes(from: nlri)
  return try FlowRule.list(UnsafeRawBufferPointer(buffer), family)
}

private func prefix(_ text: String) throws -> IPPrefix { try #require(IPPrefix(text)) }

@Suite("Flow rules: the octets of the RFCs' examples, and what they mean")
struct FlowRuleTests {
  private static let exact = FlowOperation.Comparison.equal

  @Test("RFC 8955 section 4.3, first example: to 192.0.2.0/24, TCP port 25")
  func firstExample() throws {
    let nlri: [UInt8] = [0x0B, 0x01, 0x18, 0xC0, 0x00, 0x02, 0x03, 0x81, 0x06, 0x04, 0x81, 0x19]
    let built = try FlowRule(
      .ipv4,
      [
        (.port, .operations([FlowOperation(Self.exact, 25)])),
        (.protocol, .operations([FlowOperation(Self.exact, 6)])),
        (.destination, .prefix(FlowPrefix(try prefix("192.0.2.0/24")))),
      ])
    #expect(built.nlri == nlri)
    let decoded = try list(nlri)
    #expect(decoded == [built])
    #expect(decoded[0].components == built.components)
    #expect(decoded[0].description == "destination 192.0.2.0/24 protocol 6 port 25")
    #expect(decoded[0].destination == (try prefix("192.0.2.0/24")))
  }

  @Test("RFC 8955 section 4.3, second example: ports 137 to 139, or 8080")
  func secondExample() throws {
    let nlri: [UInt8] = [
      0x12, 0x01, 0x18, 0xC0, 0x00, 0x02, 0x02, 0x18, 0xCB, 0x00, 0x71, 0x04, 0x03, 0x89, 0x45, 0x8B, 0x91, 0x1F, 0x90,
    ]
    let decoded = try #require(try list(nlri).first)
    #expect(
      decoded[.port]
        == .operations([
          FlowOperation([.greater, .equal], 137), FlowOperation([.less, .equal], 139, isAnd: true),
          FlowOperation(.equal, 8080),
        ]))
    #expect(decoded.description == "destination 192.0.2.0/24 source 203.0.113.0/24 port 137-139,8080")
    #expect(decoded.nlri == nlri)
  }

  @Test("RFC 8955 section 4.3, third example: packets that must not be fragmented, or first fragments")
  func thirdExample() throws {
    let nlri: [UInt8] = [0x09, 0x01, 0x20, 0xC0, 0x00, 0x02, 0x01, 0x0C, 0x80, 0x05]
    let decoded = try #require(try list(nlri).first)
    #expect(decoded[.fragment] == .operations([FlowOperation([], 5)]))
    #expect(decoded.description == "destination 192.0.2.1/32 fragment (dont-fragment|first-fragment)")
  }

  @Test(
    "RFC 8956 section 3.8: a pattern begins at its offset, which need not be at the start of an octet",
    arguments: [
      (
        [
          0x12, 0x01, 0x68, 0x40, 0x12, 0x34, 0x56, 0x78, 0x9A, 0x02, 0x20, 0x00, 0x20, 0x01, 0x0D, 0xB8, 0x03, 0x81,
          0x06,
        ] as [UInt8],
        "destination ::1234:5678:9a00:0/104 offset 64 source 2001:db8::/32 protocol 6"
      ),
      (
        [0x0F, 0x01, 0x20, 0x00, 0x20, 0x01, 0x0D, 0xB8, 0x02, 0x68, 0x41, 0x24, 0x68, 0xAC, 0xF1, 0x34],
        "destination 2001:db8::/32 source ::1234:5678:9a00:0/104 offset 65"
      ),
    ])
  func offsets(nlri: [UInt8], text: String) throws {
    let decoded = try #require(try list(nlri, .ipv6).first)
    #expect(decoded.description == text)
    let rebuilt = try FlowRule(.ipv6, decoded.components.map { ($0.type, $0.value) })
    #expect(rebuilt.nlri == nlri)
  }

  @Test("A rule of 240 octets has a length of two octets, one of 239 of one")
  func longLengths() throws {
    for (count, header) in [(239, [0xEF]), (240, [0xF0, 0xF0])] as [(Int, [UInt8])] {
      // Type 4, then ports of two octets each (three with the operator); a protocol fills up.
      var octets: [UInt8] = count % 3 == 2 ? [4] : [3, 0x81, 6, 4]
      while octets.count + 3 < count { octets += [0x11, 0x10, UInt8(octets.count & 255)] }
      while octets.count + 2 < count { octets += [0x01, 7] }
      octets += count - octets.count == 3 ? [0x91, 0x10, 0x01] : [0x81, 9]
      guard octets.count == count else { continue }
      let decoded = try rule(octets)
      #expect(Array(decoded.nlri.prefix(header.count)) == header)
      #expect(try list(decoded.nlri + decoded.nlri) == [decoded, decoded])
    }
  }

  @Test(
    "Malformed: each fault of RFC 8955 section 4.2 is told apart",
    arguments: [
      ([], .ipv4, .empty), ([14, 0x81, 1], .ipv4, .unknownType(14)), ([13, 0x81, 1], .ipv4, .unknownType(13)),
      ([3, 0x81, 6, 1, 24, 192, 0, 2], .ipv4, .order(.destination)),
      ([3, 0x81, 6, 3, 0x81, 17], .ipv4, .order(.protocol)),
      ([1, 33, 192, 0, 2, 0, 0], .ipv4, .prefixLength(.destination)),
      ([1, 24, 192, 0], .ipv4, .prefixLength(.destination)), ([1, 64, 64], .ipv6, .offset(.destination)),
      ([1, 0, 1], .ipv6, .offset(.destination)), ([3, 0x01, 6], .ipv4, .operators(.protocol)),
      ([4, 0x91, 1], .ipv4, .operators(.port)), ([9, 0xA0, 0, 0, 0, 2], .ipv4, .operators(.tcpFlags)),
      ([11, 0x91, 0, 46], .ipv4, .operators(.dscp)), ([12, 0x90, 0, 2], .ipv4, .operators(.fragment)),
      ([13, 0xB1, 0, 0, 0, 0, 0, 0, 0, 1], .ipv6, .operators(.flowLabel)),
    ] as [([UInt8], AddressFamily, FlowRuleFault)])
  func malformed(octets: [UInt8], family: AddressFamily, fault: FlowRuleFault) {
    #expect(throws: fault) { try FlowRule(decoding: octets, family) }
  }

  @Test("A length beyond the NLRI field is a fault, and so is a rule of no octets")
  func badLengths() {
    #expect(throws: FlowRuleFault.length) { try list([4, 3, 0x81, 6]) }
    #expect(throws: FlowRuleFault.length) { try list([0xF0]) }
    #expect(throws: FlowRuleFault.empty) { try list([0]) }
  }

  @Test("Two rules are one only if their octets are equal, whatever they mean")
  func identity() throws {
    let short = try rule([4, 0x81, 25])
    let long = try rule([4, 0x91, 0, 25])
    #expect(short != long && short.description == long.description)
  }

  @Test("AND binds before OR; the first operator's AND bit means nothing")
  func operators() throws {
    let operations: (FlowRule) -> [FlowOperation] = {
      if case .operations(let list)? = $0[.port] { list } else { [] }
    }
    // =5 OR >10 AND <20 OR >65000; the first with the AND bit.
    let mixed = try rule([4, 0x41, 5, 0x02, 10, 0x44, 20, 0x92, 0xFD, 0xE8])
    #expect(FlowComponent.ranges(operations(mixed), through: 65535) == [5...5, 11...19, 65001...65535])
    let all = try rule([4, 0x87, 0])
    #expect(FlowComponent.ranges(operations(all), through: 65535) == [0...65535])
    let none = try rule([4, 0x80, 0])
    #expect(FlowComponent.ranges(operations(none), through: 65535) == [])
    #expect(none.description == "port none")
    let not = try rule([4, 0x86, 80])
    #expect(FlowComponent.ranges(operations(not), through: 65535) == [0...79, 81...65535])
  }

  /// The meaning of RFC 8955 section 4.2.1.1, asked for each number by itself.
  private func isMeant(_ number: UInt64, _ operations: [FlowOperation]) -> Bool {
    var (whole, run) = (false, true)
    for (place, operation) in operations.enumerated() {
      if place > 0, !operation.isAnd { (whole, run) = (whole || run, true) }
      let holds =
        number < operation.value && operation.comparison.contains(.less)
        || number > operation.value && operation.comparison.contains(.greater)
        || number == operation.value && operation.comparison.contains(.equal)
      run = run && holds
    }
    return whole || run
  }

  @Test("The ranges of a list of comparisons hold the numbers that it means and no other")
  func ranges() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<2000 {
      let operations = (0..<Int.random(in: 1...7, using: &generator)).map { _ in
        FlowOperation(
          .init(rawValue: .random(in: 0...7, using: &generator)), .random(in: 0...18, using: &generator),
          isAnd: .random(using: &generator))
      }
      let ranges = FlowComponent.ranges(operations, through: 15)
      #expect(
        (0...15).filter { number in ranges.contains { $0.contains(number) } }
          == (0...15).filter { isMeant($0, operations) }, "\(operations)")
      #expect(ranges.allSatisfy { $0.upperBound <= 15 })
      #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound + 1 < $1.lowerBound }, "\(operations)")
    }
  }
}

@Suite("Flow rules: which is asked first")
struct FlowRulePrecedenceTests {
  /// In order of precedence by RFC 8955 section 5.1 and RFC 8956 section 4, each line with its reason.
  private static let ordered: [(AddressFamily, [UInt8])] = [
    (.ipv4, [1, 32, 192, 0, 2, 1]),  // the most specific destination
    (.ipv4, [1, 24, 192, 0, 2, 2, 32, 10, 0, 0, 1]),  // the same destination, and more is said
    (.ipv4, [1, 24, 192, 0, 2, 2, 8, 10]),  // a less specific source
    (.ipv4, [1, 24, 192, 0, 2, 3, 0x81, 6]),  // the type of the next component is larger
    (.ipv4, [1, 24, 192, 0, 2, 3, 0x81, 17]),  // its octets are larger
    (.ipv4, [1, 24, 192, 0, 2, 4, 0x01, 80, 0x91, 1, 187]),  // 01 50 before 91 01
    (.ipv4, [1, 24, 192, 0, 2, 4, 0x81, 80]),
    (.ipv4, [1, 24, 192, 0, 2]),  // less is said
    (.ipv4, [1, 24, 192, 0, 3]),  // a higher address, no overlap
    (.ipv4, [1, 8, 193]),
    (.ipv4, [2, 32, 10, 0, 0, 1]),  // no destination
    (.ipv4, [3, 0x81, 1]),
    (.ipv6, [1, 32, 0, 0x20, 1, 0x0D, 0xB8]),  // the lowest offset, however long
    (.ipv6, [1, 0, 0]),
    (.ipv6, [1, 104, 64, 0x12, 0x34, 0x56, 0x78, 0x9A]),
    (.ipv6, [1, 104, 65, 0x24, 0x68, 0xAC, 0xF1, 0x34]),
  ]

  @Test("The order of the RFCs, from any order")
  func order() throws {
    let rules = try Self.ordered.map { try FlowRule(decoding: $0.1, $0.0) }
    var generator = SplitMix(seed: 7)
    for _ in 0..<50 {
      #expect(rules.shuffled(using: &generator).sorted().map(\.octets) == rules.map(\.octets))
    }
  }

  @Test("A longer list of operators is asked before its beginning alone")
  func commonPrefix() throws {
    // RFC 8955 section 5.1: "the longest string" wins where one is the beginning of the other.
    let long = try FlowRule(decoding: [4, 0x01, 80, 0x81, 90], .ipv4)
    let short = try FlowRule(decoding: [4, 0x81, 80], .ipv4)
    #expect(long < short)  // 01 before 81: not a common beginning
  }

  @Test("Random octets: never a crash, decoding and encoding agree, and the order is total")
  func fuzz() {
    var generator = SplitMix(seed: 20)
    var rules: [FlowRule] = []
    for round in 0..<20_000 {
      let family: AddressFamily = round % 2 == 0 ? .ipv4 : .ipv6
      let octets = Self.octets(&generator, family)
      guard let rule = try? FlowRule(decoding: octets, family) else { continue }
      #expect((try? list(rule.nlri, family)) == [rule])
      _ = rule.description
      // Rebuilt from its values it means the same, unless a value is larger than its field.
      if let rebuilt = try? FlowRule(family, rule.components.map { ($0.type, $0.value) }) {
        #expect(rebuilt.components.map(\.value) == rule.components.map(\.value))
        let again = try? FlowRule(family, rebuilt.components.map { ($0.type, $0.value) })
        #expect(again == rebuilt, "canonical octets stay as they are")
      }
      rules.append(rule)
    }
    #expect(rules.count > 500)
    for _ in 0..<5_000 {
      guard let a = rules.randomElement(using: &generator), let b = rules.randomElement(using: &generator),
        let c = rules.randomElement(using: &generator)
      else { return }
      #expect((a == b) == (!(a < b) && !(b < a)))
      if a < b, b < c { #expect(a < c) }
    }
  }

  /// Now and then noise, mostly something near a rule.
  private static func octets(_ generator: inout SplitMix, _ family: AddressFamily) -> [UInt8] {
    if Int.random(in: 0..<4, using: &generator) == 0 {
      return (0..<Int.random(in: 0..<30, using: &generator)).map { _ in .random(in: 0...255, using: &generator) }
    }
    var octets: [UInt8] = []
    var type: UInt8 = .random(in: 1...4, using: &generator)
    while type <= 13, octets.count < 40 {
      octets.append(type)
      if type <= 2 {
        let length = UInt8.random(in: 0...(family == .ipv4 ? 33 : 64), using: &generator)
        octets += family == .ipv4 ? [length] : [length, .random(in: 0...3, using: &generator)]
        octets += (0..<(Int(length) + 7) / 8).map { _ in .random(in: 0...3, using: &generator) }
      } else {
        for last in [false, true] where last || Bool.random(using: &generator) {
          octets += [(last ? 0x80 : 0) | .random(in: 0...7, using: &generator), .random(in: 0...9, using: &generator)]
        }
      }
      type += .random(in: 1...4, using: &generator)
    }
    return octets
  }
}

struct SplitMix: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
