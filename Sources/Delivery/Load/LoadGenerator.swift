// GET requests at a rate, over connections that stay open: what a release is judged by where nobody else sends any. It runs
// in a pod, so its requests take the pod's sidecar and the mesh like everybody's. Bounded: so many a second, for so long.

internal import CLinux
internal import Dispatch
internal import Glibc
internal import HTTP1
internal import Synchronization

/// What became of the requests.
public struct LoadResult: Codable, Sendable, Equatable {
  public var sent = 0
  /// Answered with a status below 500.
  public var ok = 0
  public var failed = 0
  /// Status to count.
  public var statuses: [String: Int] = [:]
  /// What kept a request from an answer, to count.
  public var errors: [String: Int] = [:]
  /// Milliseconds.
  public var p50 = 0.0
  public var p99 = 0.0
  public var slowest = 0.0
}

public struct LoadGenerator: Sendable {
  public struct Target: Sendable, Equatable {
    public var host: String
    public var port: UInt16
    public var path: String

    /// `http://HOST[:PORT][/PATH]`
    public init?(_ text: String) {
      guard text.hasPrefix("http://") else { return nil }
      let rest = text.dropFirst(7)
      let authority = rest.prefix { $0 != "/" }
      let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
      guard let name = parts.first, !name.isEmpty, parts.count <= 2 else { return nil }
      host = String(name)
      guard parts.count == 1 || UInt16(parts[1]) ?? 0 > 0 else { return nil }
      port = parts.count == 2 ? UInt16(parts[1]) ?? 80 : 80
      let tail = rest.dropFirst(authority.count)
      path = tail.isEmpty ? "/" : String(tail)
      if path.contains(where: { $0.isWhitespace || $0.isNewline }) { return nil }
    }
  }

  public let target: Target
  /// Requests per second.
  public let rate: Int
  public let count: Int
  /// Seconds for one answer.
  public let patience: Double

  public init(target: Target, rate: Int, count: Int, patience: Double = 5) {
    self.target = target
    self.rate = max(1, rate)
    self.count = count
    self.patience = patience
  }

  /// Sends them all; blocks. Each request has its time: one that waits for a slow answer delays no other.
  public func run() -> LoadResult {
    let tally = Mutex(Tally())
    let next = Atomic<Int>(0)
    let start = DispatchTime.now().uptimeNanoseconds
    let workers = min(count, min(256, max(4, rate / 2)))
    let addresses = Self.resolve(target)
    let group = DispatchGroup()
    for _ in 0..<workers {
      let queue = DispatchQueue(label: "netloom.load")
      queue.async(group: group) {
        var connection = LoadConnection(target, addresses, patience)
        while true {
          let index = next.add(1, ordering: .relaxed).oldValue
          guard index < count else { break }
          Self.wait(until: start + UInt64(index) * 1_000_000_000 / UInt64(rate))
          let answer = connection.request()
          tally.withLock { $0.add(answer) }
        }
      }
    }
    group.wait()
    return tally.withLock { $0.result }
  }

  private static func wait(until time: UInt64) {
    let now = DispatchTime.now().uptimeNanoseconds
    guard time > now else { return }
    var left = timespec(tv_sec: Int((time - now) / 1_000_000_000), tv_nsec: Int((time - now) % 1_000_000_000))
    var rest = timespec()
    while nanosleep(&left, &rest) != 0, errno == EINTR { left = rest }
  }

  private static func resolve(_ target: Target) -> [SocketAddress] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(target.host, "\(target.port)", &hints, &list) == 0 else { return [] }
    defer { freeaddrinfo(list) }
    var result: [SocketAddress] = []
    var entry = list
    while let info = entry {
      if let address = info.pointee.ai_addr {
        let bytes = UnsafeRawBufferPointer(start: address, count: Int(info.pointee.ai_addrlen))
        result.append(SocketAddress(family: info.pointee.ai_family, bytes: Array(bytes)))
      }
      entry = info.pointee.ai_next
    }
    return result
  }

  private struct Tally {
    var counted = LoadResult()
    private var times: [Double] = []

    mutating func add(_ answer: LoadAnswer) {
      counted.sent += 1
      times.append(answer.milliseconds)
      switch answer.outcome {
      case .status(let status):
        counted.statuses["\(status)", default: 0] += 1
        if status < 500 { counted.ok += 1 } else { counted.failed += 1 }
      case .error(let reason):
        counted.errors[reason, default: 0] += 1
        counted.failed += 1
      }
    }

    var result: LoadResult {
      var result = counted
      let sorted = times.sorted()
      guard let last = sorted.last else { return result }
      result.p50 = sorted[sorted.count / 2]
      result.p99 = sorted[min(sorted.count - 1, sorted.count * 99 / 100)]
      result.slowest = last
      return result
    }
  }
}

struct SocketAddress: Sendable {
  var family: Int32
  var bytes: [UInt8]
}

struct LoadAnswer {
  enum Outcome { case status(Int), error(String) }
  var outcome: Outcome
  var milliseconds: Double
}
