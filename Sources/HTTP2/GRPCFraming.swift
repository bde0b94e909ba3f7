// gRPC's messages inside a stream's body: one byte that says whether it is compressed, four of length, the message
// ("gRPC over HTTP2", Length-Prefixed-Message). Compression is not offered, so nobody may use it.

public enum GRPCFraming {
  /// Most bytes of a message that is received, unless said otherwise: gRPC's own default.
  public static let defaultMaximum = 4 << 20

  static let headBytes = 5

  /// Appends one framed message. A message has less than 4 GiB.
  public static func append(_ message: [UInt8], to output: inout [UInt8]) {
    precondition(message.count <= Int(UInt32.max), "a gRPC message has less than 4 GiB")
    output.reserveCapacity(output.count + headBytes + message.count)
    output.append(0)
    withUnsafeBytes(of: UInt32(message.count).bigEndian) { output.append(contentsOf: $0) }
    output.append(contentsOf: message)
  }

  /// One framed message.
  public static func frame(_ message: [UInt8]) -> [UInt8] {
    var output: [UInt8] = []
    append(message, to: &output)
    return output
  }
}

/// What a peer may not send in a body of gRPC messages.
public enum GRPCFramingError: Error, Hashable, Sendable {
  /// A compressed message, though no encoding was offered (status INTERNAL, "Compression" of the gRPC specification).
  case compressed
  /// Neither 0 nor 1 where the specification allows these.
  case invalidFlag(UInt8)
  /// So many bytes are announced, more than are taken (status RESOURCE_EXHAUSTED).
  case tooLarge(Int)
}

/// Takes a body apart into its messages, whatever pieces it arrives in. Holds no more than one message of the largest
/// size and the piece that was appended last.
public struct GRPCMessageDecoder: Sendable {
  private let maximum: Int
  private var bytes: [UInt8] = []
  private var start = 0

  public init(maximumMessageBytes: Int = GRPCFraming.defaultMaximum) { maximum = maximumMessageBytes }

  /// Adds bytes of the body. Call `next` until it is nil before adding more.
  public mutating func append(_ piece: UnsafeRawBufferPointer) { bytes.append(contentsOf: piece) }

  /// The next message; nil when more bytes are needed. After an error the stream is to be ended.
  public mutating func next() throws(GRPCFramingError) -> [UInt8]? {
    let available = bytes.count - start
    guard available >= GRPCFraming.headBytes else {
      discardTaken()
      return nil
    }
    switch bytes[start] {
    case 0: break
    case 1: throw .compressed
    case let flag: throw .invalidFlag(flag)
    }
    let length = bytes[(start + 1)..<(start + GRPCFraming.headBytes)].reduce(0) { $0 << 8 | Int($1) }
    guard length <= maximum else { throw .tooLarge(length) }
    guard available >= GRPCFraming.headBytes + length else {
      discardTaken()
      return nil
    }
    let begin = start + GRPCFraming.headBytes
    start = begin + length
    return Array(bytes[begin..<start])
  }

  /// Whether nothing of an unfinished message is held: at the end of the body it must be so.
  public var isBetweenMessages: Bool { start == bytes.count }

  private mutating func discardTaken() {
    if start == bytes.count {
      bytes.removeAll(keepingCapacity: bytes.capacity <= 65536)
    } else if start > 0 {
      bytes.removeFirst(start)
    }
    start = 0
  }
}
