/// Why a message was refused. The raw value is the word that logs and `netloom-refused:` show.
public enum HTTP1Failure: String, Error, Equatable, Sendable, CaseIterable {
  // Lines
  case bareLineFeed = "bare-line-feed"
  case controlCharacter = "control-character"
  case obsoleteFolding = "obsolete-folding"
  case spaceBeforeColon = "space-before-colon"
  case invalidFieldName = "invalid-field-name"
  case tooManyFields = "too-many-fields"
  case headTooLarge = "head-too-large"
  // Start lines
  case requestLineTooLong = "request-line-too-long"
  case invalidRequestLine = "invalid-request-line"
  case invalidMethod = "invalid-method"
  case invalidTarget = "invalid-target"
  case http09 = "http-0.9"
  case unsupportedVersion = "unsupported-version"
  case connectRefused = "connect-refused"
  case invalidStatusLine = "invalid-status-line"
  // Host
  case missingHost = "missing-host"
  case duplicateHost = "duplicate-host"
  case invalidHost = "invalid-host"
  // Framing
  case invalidContentLength = "invalid-content-length"
  case differingContentLength = "differing-content-length"
  case lengthAndTransferEncoding = "content-length-with-transfer-encoding"
  case invalidTransferEncoding = "invalid-transfer-encoding"
  case unsupportedTransferCoding = "unsupported-transfer-coding"
  case transferEncodingInOldVersion = "transfer-encoding-in-http-1.0"
  case invalidConnection = "invalid-connection"
  case unsupportedExpectation = "unsupported-expectation"
  /// A field of HTTP/1.1's framing in a message of HTTP/2 (RFC 9113 section 8.2.2).
  case connectionSpecificField = "connection-specific-field"
  // Chunks
  case invalidChunkSize = "invalid-chunk-size"
  case chunkSizeOverflow = "chunk-size-overflow"
  case invalidChunkExtension = "invalid-chunk-extension"
  case invalidChunkEnd = "invalid-chunk-end"
  case chunkLineTooLong = "chunk-line-too-long"
  case trailersTooLarge = "trailers-too-large"
  case forbiddenTrailer = "forbidden-trailer"

  /// The status code of the answer when the message was a request.
  public var status: Int {
    switch self {
    case .headTooLarge, .tooManyFields, .trailersTooLarge: 431
    case .requestLineTooLong: 414
    case .unsupportedVersion, .http09: 505
    case .connectRefused: 405
    case .unsupportedTransferCoding: 501
    case .unsupportedExpectation: 417
    default: 400
    }
  }
}
