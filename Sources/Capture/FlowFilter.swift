public import NetTypes

/// Packets of one flow by what no NAT changes, and ICMP errors, whoever they are about: as instructions for the kernel
/// (classic BPF, bpf(4) of the BSDs; the kernel's Documentation/networking/filter.rst) and in the words of
/// pcap-filter(7), which say the same to whoever reads the file.
public struct FlowFilter: Sendable, Equatable {
  /// A 32-bit word of the transport header, `offset` bytes into it, that lies in `base ..< base + span` (modulo 2³²).
  public struct Word: Sendable, Equatable {
    public var offset: Int
    public var base: UInt32
    public var span: UInt32

    public init(offset: Int, base: UInt32, span: UInt32 = 1) {
      self.offset = offset
      self.base = base
      self.span = span
    }
  }

  /// Of the flow's packets only some: those whose word, `offset` bytes into the transport header, has none of the bits of
  /// the mask. Where it holds a random number that no node changes, every place keeps the same packets.
  public struct Sample: Sendable, Equatable {
    public var offset: Int
    public var mask: UInt32

    public init(offset: Int, mask: UInt32) {
      self.offset = offset
      self.mask = mask
    }
  }

  public enum Transport: Sendable { case icmp, tcp, udp }

  public var family: AddressFamily
  public var transport: Transport
  /// One of them has to fit; none: everything of the transport passes.
  public var words: [Word]
  public var sample: Sample?

  public init(_ family: AddressFamily, _ transport: Transport, words: [Word], sample: Sample? = nil) {
    self.family = family
    self.transport = transport
    self.words = words
    self.sample = sample
  }

  private var isIPv4: Bool { family == .ipv4 }

  /// IANA protocol numbers.
  private var number: UInt32 {
    switch transport {
    case .icmp: isIPv4 ? 1 : 58
    case .tcp: 6
    case .udp: 17
    }
  }

  /// Whether first fragments of IPv6 pass, which have a header more (RFC 8200 section 4.5): of flows whose packets may be
  /// large, which are those that are not ours.
  private var takesFragments: Bool { !isIPv4 && words.isEmpty && sample == nil }

  // MARK: Words

  public var text: String {
    let errors =
      isIPv4 ? Self.errorTypes.map { "icmp[0] = \($0)" }.joined(separator: " or ") : "(ip6[6] = 58 and ip6[40] < 128)"
    let tests = words.map { word in
      word.span == 1
        ? "\(field(word.offset)) = \(word.base)" : "\(field(word.offset)) - \(word.base) < \(word.span)"
    }
    let whole =
      isIPv4
      ? "ip proto \(number) and ip[6:2] & 8191 = 0"
      : takesFragments
        ? "(ip6[6] = \(number) or (ip6[6] = 44 and ip6[40] = \(number) and ip6[42:2] & 65528 = 0))"
        : "ip6[6] = \(number)"
    let every = tests.isEmpty ? whole : "\(isIPv4 ? name : whole) and (\(tests.joined(separator: " or ")))"
    let flow = sample.map { "\(every) and \(field($0.offset)) & \($0.mask) = 0" } ?? every
    // Errors first: where a packet is too short for a word, the rest of an expression does not count.
    return "\(errors) or (\(flow))"
  }

  private func field(_ offset: Int) -> String { isIPv4 ? "\(name)[\(offset):4]" : "ip6[\(40 + offset):4]" }

  private var name: String {
    switch transport {
    case .icmp: "icmp"
    case .tcp: "tcp"
    case .udp: "udp"
    }
  }

  /// ICMP for IPv4: unreachable, source quench, redirect, time exceeded, parameter problem (RFC 792).
  private static let errorTypes: [UInt32] = [3, 4, 5, 11, 12]

  // MARK: Instructions

  /// What passes is kept whole: the reader cuts it, and learns how long it was.
  public var instructions: [FilterInstruction] {
    var program = FilterProgram()
    isIPv4 ? startIPv4(&program) : startIPv6(&program)
    // The accumulator holds the protocol, X what lies before the transport header.
    program.jump(.equal, isIPv4 ? 1 : 58, otherwise: .label(.flow))
    program.add(.loadByteAtX, 0)
    if isIPv4 {
      for type in Self.errorTypes { program.jump(.equal, type, then: .label(.accept)) }
    } else {
      program.jump(.atLeast, 128, otherwise: .label(.accept))
    }
    program.mark(.flow)
    program.add(.loadByte, isIPv4 ? 23 : 20)
    if takesFragments {
      program.jump(.equal, number, then: .label(.sample))
      program.jump(.equal, 44, otherwise: .label(.reject))
      program.add(.loadHalf, Self.ethernetHeader + 42)
      program.jump(.anyBit, 0xFFF8, then: .label(.reject))
      program.add(.loadByte, Self.ethernetHeader + 40)
    }
    program.jump(.equal, number, otherwise: .label(.reject))
    for word in words {
      program.add(.loadWordAtX, UInt32(word.offset))
      program.add(.subtract, word.base)
      program.jump(.atLeast, word.span, otherwise: .label(.sample))
    }
    if words.isEmpty { program.jump(.equal, number, then: .label(.sample)) }
    program.add(.finish, 0)
    program.mark(.sample)
    if let sample {
      program.add(.loadWordAtX, UInt32(sample.offset))
      program.jump(.anyBit, sample.mask, otherwise: .label(.accept))
    } else {
      program.jump(.equal, 0, then: .label(.accept), otherwise: .label(.accept))
    }
    program.mark(.reject)
    program.add(.finish, 0)
    program.mark(.accept)
    program.add(.finish, 0x4_0000)
    return program.instructions
  }

  private static let ethernetHeader: UInt32 = 14

  private func startIPv4(_ program: inout FilterProgram) {
    program.add(.loadHalf, 12)
    program.jump(.equal, 0x0800, otherwise: .label(.reject))
    program.add(.loadHalf, 20)
    program.jump(.anyBit, 0x1FFF, then: .label(.reject))  // later fragments have no transport header
    program.add(.loadXHeaderLength, Self.ethernetHeader)
    program.base = Self.ethernetHeader
    program.add(.loadByte, 23)
  }

  private func startIPv6(_ program: inout FilterProgram) {
    program.add(.loadHalf, 12)
    program.jump(.equal, 0x86DD, otherwise: .label(.reject))
    program.add(.loadX, 40)
    program.base = Self.ethernetHeader
    program.add(.loadByte, 20)
  }
}

/// One instruction as the kernel takes it (struct sock_filter).
public struct FilterInstruction: Sendable, Equatable {
  public var code: UInt16
  public var ifTrue: UInt8
  public var ifFalse: UInt8
  public var value: UInt32
}

/// Instructions under construction; jumps name labels, which stand further on.
struct FilterProgram {
  enum Label: Hashable { case flow, sample, accept, reject }

  enum Target {
    case next
    case label(Label)
  }

  /// Codes of the classic machine: class, size and mode of each (linux/bpf_common.h).
  enum Operation: UInt16 {
    case loadHalf = 0x28
    case loadByte = 0x30
    case loadWordAtX = 0x40
    case loadByteAtX = 0x50
    case loadX = 0x01
    /// X = 4 × the low half of a byte: the length of an IPv4 header.
    case loadXHeaderLength = 0xB1
    case subtract = 0x14
    case finish = 0x06
  }

  enum Comparison: UInt16 {
    case equal = 0x15
    case atLeast = 0x35
    case anyBit = 0x45
  }

  private struct Entry {
    var code: UInt16
    var value: UInt32
    var then = Target.next
    var otherwise = Target.next
  }

  /// Added to what is loaded relative to X: the link's header.
  var base: UInt32 = 0
  private var entries: [Entry] = []
  private var marks: [Label: Int] = [:]

  mutating func add(_ operation: Operation, _ value: UInt32) {
    let relative = operation == .loadWordAtX || operation == .loadByteAtX
    entries.append(Entry(code: operation.rawValue, value: relative ? base + value : value))
  }

  mutating func jump(
    _ comparison: Comparison, _ value: UInt32, then: Target = .next, otherwise: Target = .next
  ) {
    entries.append(Entry(code: comparison.rawValue, value: value, then: then, otherwise: otherwise))
  }

  mutating func mark(_ label: Label) { marks[label] = entries.count }

  var instructions: [FilterInstruction] {
    entries.enumerated().map { index, entry in
      FilterInstruction(
        code: entry.code, ifTrue: distance(index, entry.then), ifFalse: distance(index, entry.otherwise),
        value: entry.value)
    }
  }

  private func distance(_ from: Int, _ target: Target) -> UInt8 {
    switch target {
    case .next: 0
    case .label(let label): UInt8((marks[label] ?? from + 1) - from - 1)
    }
  }
}
