// Collects the head of a message line by line. A line is judged when it is complete, so that the same bytes are refused
// for the same reason however they were cut on their way, and the next byte of a hopeless head is not waited for.
//
// Only CRLF ends a line: RFC 9112 section 2.2 lets a recipient take a bare LF, and recipients that differ in that are
// how requests are smuggled.
import Glibc

/// How large a head may be.
public struct HeadLimits: Sendable {
  /// All lines together.
  public var bytes = 65536
  public var fields = 100
  public var startLine = 16384

  public init() {}
}

/// What became of the bytes that a parser was given.
public struct ParseProgress: Equatable, Sendable {
  /// How many of them belong to this message's head.
  public let consumed: Int
  /// The head is complete; otherwise everything was consumed and more is needed.
  public let isComplete: Bool
}

enum LineOutcome { case more, complete }

/// Appends lines of the input to the storage of `fields` and hands every complete one on.
struct HeadLines {
  /// Where the line that is being collected begins in the storage.
  var lineStart = 0
  /// Empty lines before a request line (RFC 9112 section 2.2).
  var emptyLines = 0

  @inline(__always)
  mutating func feed(
    _ input: UnsafeRawBufferPointer, into storage: inout [UInt8], limit: Int
  ) throws(HTTP1Failure) -> (taken: Int, line: Range<Int32>?) {
    guard let base = input.baseAddress, !input.isEmpty else { return (0, nil) }
    let found = memchr(base, Int32(ByteClass.lineFeed), input.count)
    let taken = found.map { base.distance(to: $0) + 1 } ?? input.count
    guard storage.count + taken <= limit else { throw .headTooLarge }
    storage.append(contentsOf: UnsafeRawBufferPointer(start: base, count: taken))
    guard found != nil else { return (taken, nil) }
    let end = storage.count
    guard end - lineStart >= 2, storage[end - 2] == ByteClass.carriageReturn else { throw .bareLineFeed }
    let line = Int32(lineStart)..<Int32(end - 2)
    lineStart = end
    return (taken, line)
  }
}

extension HeaderFields {
  /// Takes one field line (RFC 9112 section 5) that stands in the storage.
  mutating func addLine(_ line: Range<Int32>, limit: Int) throws(HTTP1Failure) {
    guard entries.count < limit else { throw .tooManyFields }
    let entry = try storage.withUnsafeBufferPointer { bytes throws(HTTP1Failure) -> Entry in
      let start = Int(line.lowerBound)
      let end = Int(line.upperBound)
      if bytes[start] == ByteClass.space || bytes[start] == ByteClass.tab { throw .obsoleteFolding }
      var colon = start
      while colon < end, ByteClass.isToken(bytes[colon]) { colon += 1 }
      guard colon < end, bytes[colon] == ByteClass.colon, colon > start else {
        throw HeaderFields.faultInName(bytes[colon..<end], isEmpty: colon == start)
      }
      var first = colon + 1
      var last = end
      while first < last, bytes[first] == ByteClass.space || bytes[first] == ByteClass.tab { first += 1 }
      while last > first, bytes[last - 1] == ByteClass.space || bytes[last - 1] == ByteClass.tab { last -= 1 }
      for index in first..<last where !ByteClass.isFieldContent(bytes[index]) { throw .controlCharacter }
      return Entry(name: Int32(start)..<Int32(colon), value: Int32(first)..<Int32(last), known: .other)
    }
    entries.append(entry)
    entries[entries.count - 1].known = known(entry.name)
  }

  private static func faultInName(_ rest: Slice<UnsafeBufferPointer<UInt8>>, isEmpty: Bool) -> HTTP1Failure {
    guard let byte = rest.first, !isEmpty else { return .invalidFieldName }
    if byte == ByteClass.space || byte == ByteClass.tab { return .spaceBeforeColon }
    return byte < 0x20 || byte == 0x7F ? .controlCharacter : .invalidFieldName
  }
}
