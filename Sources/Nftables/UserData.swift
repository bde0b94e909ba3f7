internal import CLinux
import Glibc

/// What nft stores beside objects for its own listing: a run of (type, length, value), each of the first two one byte
/// (libnftnl/udata.h). The kernel keeps at most 256 bytes (NFT_USERDATA_MAXLEN) and reads none of them.
struct UserData {
  private(set) var bytes: [UInt8] = []

  init() {}
  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = Array(bytes) }

  /// nft's limit of a comment with its terminating zero (NFTNL_UDATA_COMMENT_MAXLEN).
  private static let commentLimit = Int(NFTNL_UDATA_COMMENT_MAXLEN)

  /// Cut at a character, so that it fits with its zero.
  static func shortened(_ comment: String) -> String {
    var comment = String(comment.prefix { $0 != "\0" })
    while comment.utf8.count >= commentLimit - 1 { comment.removeLast() }
    return comment
  }

  mutating func put(_ type: UInt8, _ value: [UInt8]) {
    bytes += [type, UInt8(truncatingIfNeeded: value.count)] + value
  }

  /// Host byte order, as nft does.
  mutating func put(_ type: UInt8, _ value: UInt32) { put(type, withUnsafeBytes(of: value) { Array($0) }) }
  mutating func put(_ type: UInt8, _ text: String) { put(type, Array(text.utf8) + [0]) }

  subscript(type: UInt8) -> ArraySlice<UInt8>? {
    var rest = bytes[...]
    while let (found, length) = Self.header(rest), rest.count >= 2 + length {
      let value = rest.dropFirst(2).prefix(length)
      if found == type { return value }
      rest = rest.dropFirst(2 + length)
    }
    return nil
  }

  private static func header(_ rest: ArraySlice<UInt8>) -> (UInt8, Int)? {
    guard let type = rest.first, let length = rest.dropFirst().first else { return nil }
    return (type, Int(length))
  }

  func text(_ type: UInt8) -> String? {
    self[type].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  func number(_ type: UInt8) -> UInt32? {
    guard let value = self[type], value.count == 4 else { return nil }
    return Array(value).withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
  }
}
