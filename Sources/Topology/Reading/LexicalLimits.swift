/// Limits that must hold before the text reaches a parser that recurses, hashes and releases what it built: nesting,
/// the number of anchors, and aliases as keys of a file with many (hashing such a key walks everything it expands to).
enum LexicalLimits {
  /// Fewer aliases than this cannot multiply to anything that hurts.
  private static let harmlessAliases = 24

  /// False after reporting which does not.
  static func hold(_ file: SourceFile, _ reporter: Reporter) -> Bool {
    var scan = Scan()
    var text = file.text
    text.withUTF8 { bytes in scan.run(bytes) }
    func fail(_ spot: Spot, _ message: String) -> Bool {
      reporter.error(Place(file: file.name, line: spot.line, column: spot.column), message)
      return false
    }
    if let spot = scan.deep {
      return fail(spot, "nested too deeply; expected at most \(DocumentReader.depthLimit) levels")
    }
    if scan.anchors > DocumentReader.anchorLimit, let spot = scan.anchorOverLimit {
      return fail(spot, "more than \(DocumentReader.anchorLimit) anchors; use `defaults:` for what nodes share")
    }
    if scan.aliases > harmlessAliases, let spot = scan.oddKey {
      return fail(spot, "an alias or a collection as a key; expected a name")
    }
    return true
  }

  struct Spot {
    var line: Int
    var column: Int
  }

  private struct Scan {
    var anchors = 0
    var aliases = 0
    var deep: Spot?
    var anchorOverLimit: Spot?
    var oddKey: Spot?

    /// A byte that can stand before a token.
    private static func separates(_ byte: UInt8) -> Bool {
      byte == 32 || byte == 10 || byte == 13 || byte == 9 || byte == UInt8(ascii: "[") || byte == UInt8(ascii: "{")
        || byte == UInt8(ascii: ",")
    }

    private static func isName(_ byte: UInt8) -> Bool {
      (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 95 || byte == 45
    }

    mutating func run(_ bytes: UnsafeBufferPointer<UInt8>) {
      var spot = Spot(line: 1, column: 1)
      var openers = 0
      var previous: UInt8 = 10
      for index in bytes.indices {
        let byte = bytes[index]
        let next = index + 1 < bytes.count ? bytes[index + 1] : 10
        let starts = Self.separates(previous)
        switch byte {
        case UInt8(ascii: "["), UInt8(ascii: "{"): openers += 1
        case UInt8(ascii: "-") where starts && next == 32: openers += 1
        case UInt8(ascii: "?") where starts && (next == 32 || next == 10): openers += 1
        case 32, 9: break
        default: openers = 0
        }
        if openers > DocumentReader.depthLimit, deep == nil { deep = spot }
        if starts { token(byte, next, bytes, index, spot) }
        if (byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}")) && next == UInt8(ascii: ":"), oddKey == nil {
          oddKey = spot
        }
        previous = byte
        if byte == 10 {
          spot = Spot(line: spot.line + 1, column: 1)
        } else if byte & 0xC0 != 0x80 {
          spot.column += 1
        }
      }
    }

    private mutating func token(
      _ byte: UInt8, _ next: UInt8, _ bytes: UnsafeBufferPointer<UInt8>, _ index: Int, _ spot: Spot
    ) {
      switch byte {
      case UInt8(ascii: "&") where Self.isName(next):
        anchors += 1
        if anchors > DocumentReader.anchorLimit, anchorOverLimit == nil { anchorOverLimit = spot }
      case UInt8(ascii: "*") where Self.isName(next):
        aliases += 1
        var end = index + 1
        while end < bytes.count, Self.isName(bytes[end]) { end += 1 }
        while end < bytes.count, bytes[end] == 32 { end += 1 }
        if end < bytes.count, bytes[end] == UInt8(ascii: ":"), oddKey == nil { oddKey = spot }
      case UInt8(ascii: "?") where next == 32 || next == 10:
        if oddKey == nil { oddKey = spot }
      default: break
      }
    }
  }
}
