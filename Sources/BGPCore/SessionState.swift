/// The states of RFC 4271 section 8.2.2.
public enum SessionState: UInt8, Sendable, Hashable, Comparable, CaseIterable {
  case idle
  case connect
  case active
  case openSent
  case openConfirm
  case established

  public static func < (a: SessionState, b: SessionState) -> Bool { a.rawValue < b.rawValue }
}

extension SessionState: CustomStringConvertible {
  public var description: String {
    switch self {
    case .idle: "idle"
    case .connect: "connect"
    case .active: "active"
    case .openSent: "open-sent"
    case .openConfirm: "open-confirm"
    case .established: "established"
    }
  }
}
