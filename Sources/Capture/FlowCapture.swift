// The captures of one trace: a packet socket per interface, held and read by threads made for it.
//
//   caller ── a round, the end ──► holder threads, each with some of the sockets in a descriptor table of its own
//      ▲                                      │
//      └───────── frames, counters ◄──────────┘
//
// The kernel waits for a grace period when it closes a packet socket, and closes the descriptors of one table one after
// the other, those of several tables at once. So a holder has a table for itself (close_range(2), CLOSE_RANGE_UNSHARE)
// and ends with it: 400 captures are gone within some 50 ms, whether the trace ends or the process is killed; from one
// table it takes 5 s. Frames go up per interface in order, between interfaces in any. Deliberately absent: merging by
// time, waiting for packets (the caller asks for them, often enough for what it sends), and rings (see PacketSocket);
// `netloom capture`, which keeps everything of busy interfaces, uses CaptureSet.
import NetTypes

public final class FlowCapture {
  public let targets: [CaptureTarget]
  /// One per target.
  public let states: [CaptureState]
  private let crew: HolderCrew

  /// Opens every target. What cannot be opened is in `states`.
  /// - Parameters:
  ///   - snapLength: bytes kept of each packet.
  ///   - prepare: runs in the network namespace of every target before it is opened.
  public init(
    _ targets: [CaptureTarget], _ filter: FlowFilter, snapLength: Int,
    prepare: @escaping @Sendable (CaptureTarget) -> Void = { _ in }
  ) {
    ReceiveStamps.begin()
    crew = HolderCrew(
      HolderCrew.Plan(
        targets: targets, filter: filter.instructions, snapLength: snapLength,
        receiveBuffer: Self.receiveBuffer(targets.count), prepare: prepare))
    self.targets = targets
    states = crew.start()
  }

  deinit { crew.stop() }

  /// Few interfaces may hold much each; all together no more than 256 MiB.
  private static func receiveBuffer(_ count: Int) -> Int { min(8 << 20, max(256 << 10, (256 << 20) / max(1, count))) }

  /// Hands over everything that has passed by now.
  /// - Returns: how many frames there were.
  @discardableResult
  public func drain(_ body: (CapturedFrame) -> Void) -> Int {
    let frames = crew.readAll()
    for frame in frames {
      frame.bytes.withUnsafeBytes {
        body(CapturedFrame(target: frame.target, time: frame.time, wireLength: frame.wireLength, bytes: $0))
      }
    }
    return frames.count
  }

  /// One per target, as of the last `drain`; nil where nothing is open.
  public var statistics: [CaptureStatistics?] { crew.statistics }
}
