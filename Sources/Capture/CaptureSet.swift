// Captures on many interfaces of many namespaces, read by one thread.
//
// Opening and closing go over throw-away threads (each handle costs the kernel two grace periods); reading is one
// epoll descriptor. Nothing is interpreted here: frames go up as they come, per interface in order, between interfaces
// in the order in which rings are visited. Deliberately absent: merging by time, which needs to know how long to wait.
import CLinux
import CPcap
import Glibc
import NetTypes
import Synchronization

public final class CaptureSet {
  public let targets: [CaptureTarget]
  /// One per target.
  public let states: [CaptureState]
  /// Readable when a packet waits on any interface.
  public let descriptor: Int32
  private let handles: HandleTable
  private var ready: [epoll_event]

  /// Opens every target. What cannot be opened is in `states`; only a filter that does not compile and a process out
  /// of descriptors fail as a whole.
  public init(_ targets: [CaptureTarget], _ options: CaptureOptions) throws(CaptureError) {
    if !options.filter.isEmpty { try CaptureFilter.check(options.filter) }
    let table = HandleTable(count: targets.count)
    onThrowawayThreads(count: targets.count) { table.open($0, targets[$0], options) }
    let epoll = epoll_create1(O_CLOEXEC)  // EPOLL_CLOEXEC is the same bit
    guard epoll >= 0 else { throw .system("epoll_create1: \(String(cString: strerror(errno)))") }
    self.targets = targets
    states = table.states
    handles = table
    descriptor = epoll
    ready = Array(repeating: epoll_event(), count: max(1, min(targets.count, 1024)))
    for index in targets.indices {
      guard let file = table.descriptor(index) else { continue }
      var event = epoll_event()
      event.events = 1  // EPOLLIN
      event.data.u64 = UInt64(index)
      _ = epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event)
    }
  }

  deinit {
    close()
    _ = Glibc.close(descriptor)
  }

  /// Waits until a packet is there or the time is up, then hands over what the ready interfaces hold.
  /// - Returns: how many frames there were.
  @discardableResult
  public func poll(milliseconds: Int32, _ body: (CapturedFrame) -> Void) -> Int {
    let count = epoll_wait(descriptor, &ready, Int32(ready.count), milliseconds)
    var frames = 0
    for index in 0..<max(0, Int(count)) {
      handles.drain(Int(ready[index].data.u64), limit: 4096) {
        frames += 1
        body($0)
      }
    }
    return frames
  }

  /// Hands over everything that every ring holds now (no ring holds more than 65,536 packets).
  @discardableResult
  public func drain(_ body: (CapturedFrame) -> Void) -> Int {
    var frames = 0
    for index in targets.indices {
      handles.drain(index, limit: 65536) {
        frames += 1
        body($0)
      }
    }
    return frames
  }

  /// One per target; nil where nothing is open.
  public func statistics() -> [CaptureStatistics?] { targets.indices.map { handles.statistics($0) } }

  /// Closes every handle; frames still in rings are lost. The states stay readable.
  public func close() { handles.close() }
}

/// The handles of a set. Threads that open and close touch one slot each.
private final class HandleTable: @unchecked Sendable {  // proof: disjoint slots, then the workers are joined
  private let slots: UnsafeMutablePointer<CaptureHandle?>
  private let outcomes: UnsafeMutablePointer<CaptureState>
  private let count: Int

  init(count: Int) {
    self.count = count
    slots = .allocate(capacity: max(1, count))
    outcomes = .allocate(capacity: max(1, count))
    for index in 0..<count {
      (slots + index).initialize(to: nil)
      (outcomes + index).initialize(to: .absent)
    }
  }

  deinit {
    slots.deinitialize(count: count)
    outcomes.deinitialize(count: count)
    slots.deallocate()
    outcomes.deallocate()
  }

  var states: [CaptureState] { (0..<count).map { outcomes[$0] } }

  func open(_ index: Int, _ target: CaptureTarget, _ options: CaptureOptions) {
    let code = netloom_enter_network_namespace(target.namespace)
    guard code == 0 else {
      outcomes[index] = code == ENOENT ? .absent : .failed("\(target.namespace): \(String(cString: strerror(code)))")
      return
    }
    var mac = [UInt8](repeating: 0, count: 6)
    let failure = netloom_hardware_address(target.interface, &mac)
    guard failure == 0, let address = MACAddress(bytes: mac) else {
      outcomes[index] = .failed(String(cString: strerror(failure)))
      return
    }
    do throws(CaptureHandle.OpenFailure) {
      slots[index] = try CaptureHandle(interface: target.interface, options)
      outcomes[index] = .open(mac: address)
    } catch {
      switch error {
      case .down: outcomes[index] = .down
      case .failed(let reason): outcomes[index] = .failed(reason)
      }
    }
  }

  func descriptor(_ index: Int) -> Int32? { slots[index]?.descriptor }

  func drain(_ index: Int, limit: Int32, _ body: (CapturedFrame) -> Void) {
    slots[index]?.drain(index, limit: limit, body)
  }

  func statistics(_ index: Int) -> CaptureStatistics? { slots[index]?.statistics() }

  func close() { onThrowawayThreads(count: count) { self.slots[$0] = nil } }
}
