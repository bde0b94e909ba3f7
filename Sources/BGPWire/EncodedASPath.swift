public import NetTypes

/// The value of AS_PATH or AS4_PATH as it travels: segments of type, count, numbers. Reads in place.
public struct EncodedASPath {
  public let bytes: UnsafeRawBufferPointer
  /// Octets of one number: 2 or 4.
  public let width: Int

  public init(_ bytes: UnsafeRawBufferPointer, width: Int = 4) {
    self.bytes = bytes
    self.width = width
  }

  /// nil when the value is well formed (RFC 7606 section 7.2; RFC 7607; confederation segments are errors outside of a
  /// confederation, RFC 5065 section 5).
  public func fault(allowsConfederation: Bool = false) -> UpdateFault.Reason? {
    let kinds: ClosedRange<UInt8> = allowsConfederation ? 1...4 : 1...2
    var offset = 0
    while offset < bytes.count {
      guard bytes.count - offset >= 2 else { return .pathSyntax }
      let count = Int(bytes[offset + 1])
      guard kinds.contains(bytes[offset]), count > 0, bytes.count - offset - 2 >= count * width else {
        return .pathSyntax
      }
      for index in 0..<count where number(at: offset + 2 + index * width) == 0 { return .asZero }
      offset += 2 + count * width
    }
    return nil
  }

  @inline(__always) private func number(at offset: Int) -> UInt32 {
    width == 4 ? bytes.bigEndian32(at: offset) : UInt32(bytes.bigEndian16(at: offset))
  }

  /// Each segment's kind and the offset and count of its numbers. The value has to be well formed.
  @inline(__always) private func forEachSegment(_ body: (_ kind: UInt8, _ start: Int, _ count: Int) -> Bool) {
    var offset = 0
    while offset + 2 <= bytes.count {
      let count = Int(bytes[offset + 1])
      guard offset + 2 + count * width <= bytes.count, body(bytes[offset], offset + 2, count) else { return }
      offset += 2 + count * width
    }
  }

  /// As `ASPath.length`.
  public var length: Int {
    var length = 0
    forEachSegment { kind, _, count in
      length += kind == 2 ? count : (kind == 1 ? 1 : 0)
      return true
    }
    return length
  }

  /// The leftmost number, if the path begins with a sequence: the neighboring AS.
  public var first: ASNumber? {
    guard bytes.count >= 2 + width, bytes[0] == 2 else { return nil }
    return ASNumber(number(at: 2))
  }

  public func count(of asn: ASNumber) -> Int {
    var found = 0
    forEachSegment { _, start, count in
      for index in 0..<count where number(at: start + index * width) == asn.rawValue { found += 1 }
      return true
    }
    return found
  }

  public func allSatisfy(_ predicate: (ASNumber) -> Bool) -> Bool {
    var all = true
    forEachSegment { _, start, count in
      for index in 0..<count where !predicate(ASNumber(number(at: start + index * width))) { all = false }
      return all
    }
    return all
  }

  /// As values. Segments of a kind that RFC 5065 does not know end the path.
  public var decoded: ASPath {
    var path = ASPath()
    forEachSegment { kind, start, count in
      guard let kind = ASPath.Segment.Kind(rawValue: kind) else { return false }
      path.segments.append(
        ASPath.Segment(kind, (0..<count).map { ASNumber(number(at: start + $0 * width)) }))
      return true
    }
    return path
  }
}

extension ASPath {
  /// The value of AS_PATH: at most 255 numbers a segment, a longer one is split. With `width` 2, numbers that do not
  /// fit are written as AS_TRANS (RFC 6793 section 4.2.2).
  public func encode(width: Int = 4) -> [UInt8] {
    var bytes: [UInt8] = []
    for segment in segments {
      var rest = segment.asns[...]
      while !rest.isEmpty {
        let part = rest.prefix(255)
        rest = rest.dropFirst(255)
        bytes.append(segment.kind.rawValue)
        bytes.append(UInt8(part.count))
        for asn in part {
          if width == 4 {
            bytes.appendBigEndian(asn.rawValue)
          } else {
            bytes.appendBigEndian(UInt16(exactly: asn.rawValue) ?? UInt16(ASNumber.trans.rawValue))
          }
        }
      }
    }
    return bytes
  }

  /// AS_PATH of a 2-octet speaker with its AS4_PATH (RFC 6793 section 4.2.3): as many leading numbers of the former as
  /// it is longer by, then the latter; the former alone if it is the shorter one.
  func merged(withAS4Path as4Path: ASPath) -> ASPath {
    var keep = length - as4Path.length
    guard keep >= 0 else { return self }
    var result: [Segment] = []
    for segment in segments {
      switch segment.kind {
      case .sequence:
        let part = Array(segment.asns.prefix(keep))
        keep -= part.count
        if !part.isEmpty { result.append(Segment(.sequence, part)) }
      case .set where keep > 0:
        keep -= 1
        result.append(segment)
      case .set, .confederationSequence, .confederationSet:
        continue
      }
    }
    if let last = result.last, let next = as4Path.segments.first, last.kind == .sequence, next.kind == .sequence {
      result[result.count - 1].asns += next.asns
      return ASPath(result + as4Path.segments.dropFirst())
    }
    return ASPath(result + as4Path.segments)
  }
}
