import CLinux
import CPcap
import Glibc
import NetTypes

/// The owner of one activated libpcap handle.
struct CaptureHandle: ~Copyable {
  private let pcap: OpaquePointer
  let descriptor: Int32

  enum OpenFailure: Error {
    case down
    case failed(String)
  }

  /// Opens in the calling thread's network namespace.
  init(interface: String, _ options: CaptureOptions) throws(OpenFailure) {
    var text = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
    guard let pcap = pcap_create(interface, &text) else {
      throw .failed(String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
    }
    do throws(OpenFailure) {
      try Self.activate(pcap, options)
      descriptor = pcap_get_selectable_fd(pcap)
    } catch {
      pcap_close(pcap)
      throw error
    }
    self.pcap = pcap
  }

  deinit { pcap_close(pcap) }

  private static func activate(_ pcap: OpaquePointer, _ options: CaptureOptions) throws(OpenFailure) {
    pcap_set_snaplen(pcap, Int32(options.snapLength))
    pcap_set_promisc(pcap, 0)
    pcap_set_immediate_mode(pcap, options.immediate ? 1 : 0)
    pcap_set_timeout(pcap, Int32(CaptureOptions.blockTimeout))
    pcap_set_buffer_size(pcap, Int32(options.ringBytes))
    pcap_set_tstamp_precision(pcap, PCAP_TSTAMP_PRECISION_NANO)
    let status = pcap_activate(pcap)
    if status == PCAP_ERROR_IFACE_NOT_UP { throw .down }
    guard status >= 0 else {
      let detail = String(cString: pcap_geterr(pcap))
      let kind = String(cString: pcap_statustostr(status))
      throw .failed(detail.isEmpty ? kind : detail)
    }
    // Directions and decoders rest on Ethernet headers; a tunnel of the user's own has none.
    guard pcap_datalink(pcap) == DLT_EN10MB else { throw .failed("not an Ethernet interface") }
    guard pcap_setnonblock(pcap, 1, nil) == 0 else { throw .failed(String(cString: pcap_geterr(pcap))) }
    guard !options.filter.isEmpty else { return }
    var program = bpf_program()
    guard pcap_compile(pcap, &program, options.filter, 1, UInt32.max) == 0 else {
      throw .failed(String(cString: pcap_geterr(pcap)))
    }
    defer { pcap_freecode(&program) }
    guard pcap_setfilter(pcap, &program) == 0 else { throw .failed(String(cString: pcap_geterr(pcap))) }
  }

  /// Hands over what is in the ring, in order, without waiting; at most `limit` packets, so that one busy interface
  /// cannot keep its reader for ever.
  borrowing func drain(_ target: Int, limit: Int32, _ body: (CapturedFrame) -> Void) {
    withoutActuallyEscaping(body) { body in
      let sink = FrameSink(target: target, body: body)
      _ = pcap_dispatch(
        pcap, limit, forwardFrame,
        Unmanaged.passUnretained(sink).toOpaque().assumingMemoryBound(to: UInt8.self))
      withExtendedLifetime(sink) {}
    }
  }

  /// Nil when the kernel does not say.
  borrowing func statistics() -> CaptureStatistics? {
    var counters = pcap_stat()
    guard pcap_stats(pcap, &counters) == 0 else { return nil }
    return CaptureStatistics(received: UInt64(counters.ps_recv), dropped: UInt64(counters.ps_drop))
  }
}

/// Carries a closure through pcap_dispatch's pointer.
private final class FrameSink {
  let target: Int
  let body: (CapturedFrame) -> Void

  init(target: Int, body: @escaping (CapturedFrame) -> Void) {
    self.target = target
    self.body = body
  }
}

private func forwardFrame(
  _ context: UnsafeMutablePointer<UInt8>?, _ header: UnsafePointer<pcap_pkthdr>?, _ bytes: UnsafePointer<UInt8>?
) {
  guard let context, let header, let bytes else { return }
  let sink = Unmanaged<FrameSink>.fromOpaque(context).takeUnretainedValue()
  // With nanosecond precision tv_usec holds nanoseconds (pcap-tstamp(7)).
  let time = UInt64(header.pointee.ts.tv_sec) * 1_000_000_000 + UInt64(header.pointee.ts.tv_usec)
  sink.body(
    CapturedFrame(
      target: sink.target, time: time, wireLength: Int(header.pointee.len),
      bytes: UnsafeRawBufferPointer(start: bytes, count: Int(header.pointee.caplen))))
}

/// Filter expressions, checked before anything is opened.
public enum CaptureFilter {
  /// Throws `CaptureError.filter` with libpcap's reason when the expression does not compile for Ethernet.
  public static func check(_ expression: String) throws(CaptureError) {
    guard let pcap = pcap_open_dead(DLT_EN10MB, 65535) else { throw .system("libpcap: no memory") }
    defer { pcap_close(pcap) }
    var program = bpf_program()
    guard pcap_compile(pcap, &program, expression, 1, UInt32.max) == 0 else {
      throw .filter(expression, reason: String(cString: pcap_geterr(pcap)))
    }
    pcap_freecode(&program)
  }
}
