internal import CLinux
public import Netlink

/// What happened to a tracked connection.
public enum ConntrackEvent: Hashable, Sendable {
  case new(ConntrackEntry)
  case changed(ConntrackEntry)
  /// With its last counts, where the kernel counts.
  case ended(ConntrackEntry)

  init?(_ message: Message) {
    guard let operation = ConntrackOperation(message.type), let entry = ConntrackEntry(message) else { return nil }
    switch operation {
    case .new: self = message.flags.contains(.create) ? .new(entry) : .changed(entry)
    case .delete: self = .ended(entry)
    default: return nil
    }
  }

  public var entry: ConntrackEntry {
    switch self {
    case .new(let entry), .changed(let entry), .ended(let entry): entry
    }
  }
}

/// A subscription to tracked connections of one namespace: a descriptor to poll and `read`.
///
/// With net.netfilter.nf_conntrack_events at 2 (the default since Linux 6.0) connections report only if somebody was
/// subscribed when they began.
public final class ConntrackMonitor {
  /// What to be told of.
  public struct Subject: OptionSet, Sendable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }

    public static let new = Subject(rawValue: 1)
    public static let changed = Subject(rawValue: 2)
    public static let ended = Subject(rawValue: 4)
    public static let all: Subject = [.new, .changed, .ended]

    fileprivate var groups: [NetfilterGroup] {
      let pairs: [(Subject, NetfilterGroup)] = [
        (.new, .newConnections), (.changed, .changedConnections), (.ended, .endedConnections),
      ]
      return pairs.compactMap { contains($0.0) ? $0.1 : nil }
    }
  }

  /// One `read`.
  public struct Reading: Sendable {
    public var events: [ConntrackEvent] = []
    /// The kernel had more to say than the buffer holds.
    public var missedSome = false
    /// More is waiting.
    public var mayHaveMore = false
  }

  private let events: NetfilterEvents

  /// - Parameter namespace: nil: the calling thread's.
  public init(
    _ subjects: Subject = .all, in namespace: Namespace? = nil, receiveBuffer: Int = 4 << 20
  ) throws(KernelError) {
    events = try NetfilterEvents(subjects.groups, in: namespace, receiveBuffer: receiveBuffer)
  }

  /// To be polled for reading.
  public var fileDescriptor: Int32 { events.netlink.fileDescriptor }

  /// What has arrived, without waiting.
  /// - Parameter datagrams: most to take in this call.
  public func read(datagrams: Int = 256) throws(KernelError) -> Reading {
    var reading = Reading()
    let look = try events.read(datagrams: datagrams) { message in
      if let event = ConntrackEvent(message) { reading.events.append(event) }
    }
    reading.missedSome = look.missedSome
    reading.mayHaveMore = look.mayHaveMore
    return reading
  }
}
