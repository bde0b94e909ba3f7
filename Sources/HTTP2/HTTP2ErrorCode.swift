/// Why a stream or a connection ended (RFC 9113 section 7). Unknown numbers are kept.
public struct HTTP2ErrorCode: RawRepresentable, Hashable, Sendable {
  public let rawValue: UInt32

  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let noError = HTTP2ErrorCode(rawValue: 0x0)
  public static let protocolError = HTTP2ErrorCode(rawValue: 0x1)
  public static let internalError = HTTP2ErrorCode(rawValue: 0x2)
  public static let flowControlError = HTTP2ErrorCode(rawValue: 0x3)
  public static let settingsTimeout = HTTP2ErrorCode(rawValue: 0x4)
  public static let streamClosed = HTTP2ErrorCode(rawValue: 0x5)
  public static let frameSizeError = HTTP2ErrorCode(rawValue: 0x6)
  public static let refusedStream = HTTP2ErrorCode(rawValue: 0x7)
  public static let cancel = HTTP2ErrorCode(rawValue: 0x8)
  public static let compressionError = HTTP2ErrorCode(rawValue: 0x9)
  public static let connectError = HTTP2ErrorCode(rawValue: 0xA)
  public static let enhanceYourCalm = HTTP2ErrorCode(rawValue: 0xB)
  public static let inadequateSecurity = HTTP2ErrorCode(rawValue: 0xC)
  public static let http11Required = HTTP2ErrorCode(rawValue: 0xD)

  private static let names = [
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
  ]
}

extension HTTP2ErrorCode: CustomStringConvertible {
  /// The RFC's name, or the number.
  public var description: String {
    rawValue < UInt32(Self.names.count) ? Self.names[Int(rawValue)] : "0x" + String(rawValue, radix: 16)
  }
}

/// The connection is over, and why.
public struct HTTP2Failure: Error, Hashable, Sendable, CustomStringConvertible {
  /// What the GOAWAY frame says.
  public let code: HTTP2ErrorCode
  /// In words, for people.
  public let reason: String

  public var description: String { "\(code): \(reason)" }

  init(_ code: HTTP2ErrorCode, _ reason: String) {
    self.code = code
    self.reason = reason
  }
}

/// Why something could not be submitted. The session goes on.
public enum HTTP2SubmitError: Error, Hashable, Sendable {
  /// The peer allows no more streams at a time (SETTINGS_MAX_CONCURRENT_STREAMS).
  case streamsExhausted
  /// A GOAWAY was sent or received: open no more streams here.
  case goingAway
  /// The stream is closed or never was.
  case unknownStream
  /// The stream's sending side has ended, or it has not begun: a body before its head.
  case wrongState
  /// The field of this name may not be sent (RFC 9113 section 8.2.1).
  case invalidField(String)
  /// The fields are longer than the peer takes (SETTINGS_MAX_HEADER_LIST_SIZE).
  case headTooLarge
  /// Every stream number of this connection is used up.
  case identifiersExhausted
  /// The session is over.
  case finished
  /// Anything else that nghttp2 says.
  case library(String)
}
