import CPcap

/// The owner of one activated libpcap handle.
struct CaptureHandle: ~Copyable {
  private let capture: UnsafeMutableRawPointer
  let descriptor: Int32

  enum OpenFailure: Error {
    case down
    case failed(String)
  }

  /// Opens in the calling thread's network namespace.
  init(interface: String, _ options: CaptureOptions) throws(OpenFailure) {
    var opened: UnsafeMutableRawPointer?
    var reason = [CChar](repeating: 0, count: Int(NETLOOM_CAPTURE_ERROR_SIZE))
    let result = options.filter.withCString { filter in
      var settings = netloom_capture_options(
        filter: filter, snap_length: Int32(options.snapLength), ring_bytes: Int32(options.ringBytes),
        immediate: options.immediate ? 1 : 0, timeout_ms: Int32(CaptureOptions.blockTimeout))
      return netloom_capture_open(interface, &settings, &opened, &reason)
    }
    guard let opened else {
      throw result == Int32(NETLOOM_CAPTURE_DOWN.rawValue) ? .down : .failed(text(reason))
    }
    capture = opened
    descriptor = netloom_capture_descriptor(opened)
  }

  deinit { netloom_capture_close(capture) }

  /// Hands over what is in the ring, in order, without waiting; at most `limit` packets, so that one busy interface
  /// cannot keep its reader for ever.
  borrowing func drain(_ target: Int, limit: Int32, _ body: (CapturedFrame) -> Void) {
    withoutActuallyEscaping(body) { body in
      let sink = FrameSink(target: target, body: body)
      netloom_capture_read(capture, limit, forwardFrame, Unmanaged.passUnretained(sink).toOpaque())
      withExtendedLifetime(sink) {}
    }
  }

  /// Nil when the kernel does not say.
  borrowing func statistics() -> CaptureStatistics? {
    var received: UInt32 = 0
    var dropped: UInt32 = 0
    guard netloom_capture_statistics(capture, &received, &dropped) == 0 else { return nil }
    return CaptureStatistics(received: UInt64(received), dropped: UInt64(dropped))
  }
}

/// Carries a closure through the callback's pointer.
private final class FrameSink {
  let target: Int
  let body: (CapturedFrame) -> Void

  init(target: Int, body: @escaping (CapturedFrame) -> Void) {
    self.target = target
    self.body = body
  }
}

private func forwardFrame(
  _ context: UnsafeMutableRawPointer?, _ time: UInt64, _ wireLength: UInt32, _ bytes: UnsafePointer<UInt8>?,
  _ count: UInt32
) {
  guard let context, let bytes else { return }
  let sink = Unmanaged<FrameSink>.fromOpaque(context).takeUnretainedValue()
  sink.body(
    CapturedFrame(
      target: sink.target, time: time, wireLength: Int(wireLength),
      bytes: UnsafeRawBufferPointer(start: bytes, count: Int(count))))
}

/// The text up to the terminating zero.
func text(_ characters: [CChar]) -> String {
  String(decoding: characters.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
}

/// Filter expressions, checked before anything is opened.
public enum CaptureFilter {
  /// Throws `CaptureError.filter` with libpcap's reason when the expression does not compile for Ethernet.
  public static func check(_ expression: String) throws(CaptureError) {
    var reason = [CChar](repeating: 0, count: Int(NETLOOM_CAPTURE_ERROR_SIZE))
    guard netloom_filter_check(expression, &reason) == 0 else {
      throw .filter(expression, reason: text(reason))
    }
  }
}
