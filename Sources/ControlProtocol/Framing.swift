public import SwiftProtobuf

/// What can be wrong with a byte stream of envelopes. Both ends are ours, so each of these ends the connection.
public enum FramingError: Error, Equatable {
  /// The length varint is longer than five bytes or the message longer than `FrameReader.limit`.
  case tooLong
  /// The bytes inside a frame are not the message that was expected.
  case malformed(String)
}

/// Cuts a byte stream into length-delimited protobuf messages: a varint length, then that many bytes.
///
/// Feed whatever arrived with `append`, then call `next` until it answers nil.
public struct FrameReader: Sendable {
  /// Largest message in bytes: a full RIB answer is paged well below it.
  public static let limit = 64 << 20

  private var buffer: [UInt8] = []
  private var start = 0

  public init() {}

  public mutating func append(_ bytes: some Sequence<UInt8>) { buffer.append(contentsOf: bytes) }

  /// The next whole message, nil while it is incomplete.
  public mutating func next<M: Message>(_ type: M.Type) throws(FramingError) -> M? {
    guard let frame = try nextFrame() else { return nil }
    do {
      return try M(serializedBytes: Array(buffer[frame]))
    } catch {
      throw .malformed("\(M.protoMessageName): \(error)")
    }
  }

  private mutating func nextFrame() throws(FramingError) -> Range<Int>? {
    var length = 0
    var shift = 0
    var position = start
    while true {
      guard position < buffer.count else { return nil }
      let byte = buffer[position]
      position += 1
      length |= Int(byte & 0x7F) << shift
      if byte & 0x80 == 0 { break }
      shift += 7
      if shift > 28 { throw .tooLong }
    }
    guard length <= Self.limit else { throw .tooLong }
    guard buffer.count - position >= length else {
      compact()
      return nil
    }
    start = position + length
    return position..<start
  }

  /// Drops what was consumed, once it is worth the move.
  private mutating func compact() {
    guard start > 0 else { return }
    buffer.removeSubrange(0..<start)
    start = 0
  }
}

/// The frame of one message, ready to be written to the stream.
public func frame(_ message: some Message) throws(FramingError) -> [UInt8] {
  let body: [UInt8]
  do {
    body = try message.serializedBytes()
  } catch {
    throw .malformed("\(error)")
  }
  guard body.count <= FrameReader.limit else { throw .tooLong }
  var bytes: [UInt8] = []
  bytes.reserveCapacity(body.count + 5)
  var length = body.count
  while length > 0x7F {
    bytes.append(UInt8(length & 0x7F) | 0x80)
    length >>= 7
  }
  bytes.append(UInt8(length))
  bytes.append(contentsOf: body)
  return bytes
}
