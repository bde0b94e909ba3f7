// W3C Trace Context (level 1): `traceparent: 00-TRACE-SPAN-FLAGS`. Each sidecar is a hop with a span of its own: it keeps
// the trace and the sampled flag and puts its span in the place of the one before. `tracestate` goes with a trace that is
// kept and is dropped with one that is not (section 3.3.1.3).
import HTTP1

struct TraceContext: Equatable {
  private(set) var high: UInt64
  private(set) var low: UInt64
  private(set) var span: UInt64
  private(set) var flags: UInt8
  /// The span of the hop before; 0: the trace begins here.
  private(set) var parent: UInt64 = 0

  static let length = 55

  /// Begins a trace.
  init(sampled: Bool, _ random: inout some RandomNumberGenerator) {
    high = random.next()
    low = random.next() | 1  // all zeros is no identifier
    span = random.next() | 1
    flags = sampled ? 1 : 0
  }

  /// Goes on with a trace.
  /// - Returns: nil for what is no traceparent, by section 3.2.2: wrong characters or lengths, zeros, version ff. A later
  ///   version may be longer and is read as far as it is known.
  init?(continuing value: ArraySlice<UInt8>, _ random: inout some RandomNumberGenerator) {
    let bytes = Array(value)
    guard bytes.count >= Self.length, let version = Self.number(bytes[0..<2]), version != 0xFF,
      version == 0 ? bytes.count == Self.length : bytes.count == Self.length || bytes[Self.length] == Self.dash,
      [2, 35, 52].allSatisfy({ bytes[$0] == Self.dash }), let high = Self.number(bytes[3..<19]),
      let low = Self.number(bytes[19..<35]), let parent = Self.number(bytes[36..<52]),
      let flags = Self.number(bytes[53..<55]), high | low != 0, parent != 0
    else { return nil }
    self.high = high
    self.low = low
    self.parent = parent
    self.flags = UInt8(truncatingIfNeeded: flags) & 1  // other flags are not known
    span = random.next() | 1
  }

  /// Takes the request's context on by one hop, or begins a trace where it has none.
  /// - Parameter sampled: whether a trace that begins here is.
  static func hop(
    _ fields: inout HeaderFields, sampled: Bool, _ random: inout some RandomNumberGenerator
  ) -> TraceContext {
    let first = fields.firstIndex(of: .traceparent)
    if let first, first == fields.lastIndex(of: .traceparent),
      let context = TraceContext(continuing: fields.value(at: first), &random)
    {
      if !fields.overwrite(at: first, context.bytes) { fields.set("traceparent", context.text) }
      return context
    }
    let context = TraceContext(sampled: sampled, &random)
    if first != nil { fields.remove("traceparent") }
    fields.remove("tracestate")
    fields.append("traceparent", context.text)
    return context
  }

  var isSampled: Bool { flags & 1 != 0 }
  /// 32 digits.
  var traceID: String { Self.digits(high) + Self.digits(low) }
  /// 16 digits.
  static func digits(_ number: UInt64) -> String {
    var bytes: [UInt8] = []
    append(number, 16, to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  var text: String { String(decoding: bytes, as: UTF8.self) }

  private var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.length)
    bytes += [48, 48, Self.dash]
    Self.append(high, 16, to: &bytes)
    Self.append(low, 16, to: &bytes)
    bytes.append(Self.dash)
    Self.append(span, 16, to: &bytes)
    bytes += [Self.dash, 48, 48 + flags]
    return bytes
  }

  private static let dash = UInt8(ascii: "-")

  private static func append(_ number: UInt64, _ digits: Int, to bytes: inout [UInt8]) {
    for place in (0..<digits).reversed() {
      let digit = UInt8(truncatingIfNeeded: number >> UInt64(4 * place)) & 15
      bytes.append(digit < 10 ? 48 + digit : 87 + digit)
    }
  }

  /// Lower-case hexadecimal digits only (section 3.2.2.3).
  private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
    var result: UInt64 = 0
    for digit in digits {
      switch digit {
      case 48...57: result = result << 4 | UInt64(digit - 48)
      case 97...102: result = result << 4 | UInt64(digit - 87)
      default: return nil
      }
    }
    return result
  }
}
