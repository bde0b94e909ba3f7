// Spans of sampled requests on their way from the workers to the exporter: a bounded queue.
//
//   worker: Exchange.finish ─► Tracing.add ─► [at most 4096 spans] ─► SpanExporter (thread of main) ─► OTLP/HTTP
import EventLoop
import Synchronization

/// One sidecar's part of a trace.
struct Span: Sendable, Equatable {
  enum Kind: Int, Sendable { case server = 2, client = 3 }

  var context: SpanContext
  var kind: Kind
  /// Nanoseconds since 1970.
  var start: UInt64
  var end: UInt64
  var method: String
  var path: String
  var service: String
  var version: String
  /// 0: none.
  var status: Int
  var failed: Bool
  var endpoint: String
  var peer: String
  var refused: String
  var attempts: Int
}

struct SpanContext: Sendable, Equatable {
  var trace: String
  var span: String
  /// Empty: the first of its trace.
  var parent: String
}

/// Where spans go, and which traces that begin here are recorded.
public final class Tracing: Sendable {
  /// A collector's `http://IP:PORT[/PATH]`; `/v1/traces` unless a path is given (OTLP specification, OTLP/HTTP).
  public let collector: SocketAddress
  public let path: String
  /// Per cent of the traces that begin here; those that come in have been decided on.
  public let sampling: Double

  private struct State {
    var spans: [Span] = []
    var dropped: UInt64 = 0
    var sent: UInt64 = 0
    var waker: Waker?
  }

  private let state = Mutex(State())
  static let limit = 4096
  static let batch = 512

  public init?(_ url: String, sampling: Double = 100) {
    let scheme = "http://"
    guard url.hasPrefix(scheme), (0...100).contains(sampling) else { return nil }
    let rest = url.dropFirst(scheme.count)
    let slash = rest.firstIndex(of: "/") ?? rest.endIndex
    guard let address = SocketAddress(String(rest[..<slash])) else { return nil }
    collector = address
    let path = rest[slash...]
    self.path = path.isEmpty || path == "/" ? "/v1/traces" : String(path)
    guard self.path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
    self.sampling = sampling
  }

  func add(_ span: Span) {
    let waker = state.withLock { state -> Waker? in
      guard state.spans.count < Self.limit else {
        state.dropped += 1
        return nil
      }
      state.spans.append(span)
      return state.spans.count == 1 || state.spans.count == Self.batch ? state.waker : nil
    }
    waker?.wake()
  }

  /// Called when spans wait.
  func wake(_ waker: Waker) { state.withLock { $0.waker = waker } }

  var waiting: Int { state.withLock { $0.spans.count } }

  /// The oldest, a batch at most.
  func take() -> [Span] {
    state.withLock { state in
      let taken = Array(state.spans.prefix(Self.batch))
      state.spans.removeFirst(taken.count)
      return taken
    }
  }

  func note(sent: Int = 0, dropped: Int = 0) {
    state.withLock { state in
      state.sent += UInt64(sent)
      state.dropped += UInt64(dropped)
    }
  }

  /// What the collector has taken, and what was lost because it was away or too slow.
  public var counts: (sent: UInt64, dropped: UInt64) { state.withLock { ($0.sent, $0.dropped) } }
}
