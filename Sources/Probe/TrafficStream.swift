import CLinux
import Capture
import EventLoop
import Glibc
import NetTypes
import PathProof

/// Background load under way: its sockets, and what became of its units. Only the traffic thread touches it, and nothing in
/// here waits.
protocol TrafficStream: AnyObject {
  var ledger: TrafficLedger { get }
  /// What to wait for beside `next`; once nothing is to be sent any more, without what that needs.
  func descriptors(sending: Bool) -> [pollfd]
  /// When it wants its turn, ns of the event loop's clock.
  var next: UInt64 { get }
  /// Why it cannot go on; nil while it can.
  var failure: String? { get }
  /// Takes what has arrived.
  func receive()
  /// Sends what is due.
  func send(_ now: UInt64)
}

/// What became of a datagram that the kernel did not take.
enum SendRefusal {
  /// No room for it now.
  case later
  case tooLong
  /// No way, a filter or a full queue of the sending node, or an ICMP error that an earlier one met: sent, and lost.
  case lost
  case failed(String)

  init(_ code: Int32) {
    switch code {
    case EAGAIN, EINTR: self = .later
    case EMSGSIZE: self = .tooLong
    case ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EPERM, ENOBUFS, EACCES, ENETDOWN, EINVAL, EADDRNOTAVAIL,
      ENOPROTOOPT, EPROTO, EHOSTDOWN:
      self = .lost
    default: self = .failed(String(cString: strerror(code)))
    }
  }
}

/// The first bytes of a datagram or record, as they came.
struct TrafficUnit {
  var number: UInt32
  var sentAt: UInt64

  /// Nil unless it begins with the key.
  init?(_ bytes: UnsafeRawBufferPointer, key: ArraySlice<UInt8>) {
    guard bytes.count >= RateDatagram.headerLength, bytes.prefix(RateDatagram.keyLength).elementsEqual(key) else {
      return nil
    }
    number = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: RateDatagram.numberOffset, as: UInt32.self))
    sentAt = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: RateDatagram.timeOffset, as: UInt64.self))
  }
}

/// Opens the sockets of a plan, in the namespaces of its two nodes.
enum TrafficOpening {
  /// - Throws: also where the kernel of the sender knows no way.
  static func open(_ plan: TrafficPlan) throws(TraceRefusal) -> any TrafficStream {
    ReceiveStamps.begin()
    do throws(SystemError) {
      switch plan.flow.kind {
      case .udp: return try DatagramStream(plan)
      case .icmp: return try EchoStream(plan)
      case .tcp: return try ConnectionStream(plan)
      }
    } catch {
      throw refusal(plan, error)
    }
  }

  private static func refusal(_ plan: TrafficPlan, _ error: SystemError) -> TraceRefusal {
    let node = plan.far?.node ?? "\(plan.flow.destination)"
    switch error.code {
    case EADDRINUSE:
      let port = plan.far?.endpoint.port ?? plan.flow.port
      return TraceRefusal(reason: "something else listens on \(node) port \(port): choose another port, or icmp")
    case EADDRNOTAVAIL:
      return TraceRefusal(
        reason: "\(plan.flow.destination) is no address of \(node), or the source none of \(plan.flow.from)")
    case ENETUNREACH, EHOSTUNREACH, EACCES, EPERM:
      return TraceRefusal(reason: "\(plan.flow.from): \(error.text)")
    default: return TraceRefusal(reason: "\(error)")
    }
  }
}
