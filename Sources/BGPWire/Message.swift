/// A message as the session machine sees it. The content of an UPDATE is not decoded here: it goes from the read
/// buffer to the routing table, and the machine only hears that one came.
public enum Message: Hashable, Sendable {
  case open(Open)
  case update
  case notification(Notification)
  case keepalive
  case routeRefresh(RouteRefresh)

  /// - Parameters:
  ///   - header: what `MessageHeader.frame` returned.
  ///   - bytes: the whole message, header included, at least `header.length` octets.
  public init(_ header: MessageHeader, in bytes: UnsafeRawBufferPointer) throws(MessageError) {
    guard header.length >= MessageHeader.size, bytes.count >= header.length else {
      throw .badLength(UInt16(clamping: header.length))
    }
    let body = UnsafeRawBufferPointer(rebasing: bytes[MessageHeader.size..<header.length])
    switch header.type {
    case .open: self = .open(try Open(decoding: body))
    case .update: self = .update
    case .notification: self = .notification(try Notification(decoding: body))
    case .keepalive: self = .keepalive
    case .routeRefresh: self = .routeRefresh(try RouteRefresh(decoding: body))
    default: throw .badType(header.type)
    }
  }

  public var type: MessageType {
    switch self {
    case .open: .open
    case .update: .update
    case .notification: .notification
    case .keepalive: .keepalive
    case .routeRefresh: .routeRefresh
    }
  }
}
