// What an exchange tells whoever looks: taps, and the collector of spans.
import EventLoop
import HTTP1

extension Exchange {
  /// This hop's part of the trace that the request belongs to.
  func beginSpan() {
    let sampling = worker.observation.tracing?.sampling ?? 100
    let sampled = sampling >= 100 || worker.random.chance(percent: sampling)
    trace = TraceContext.hop(&head.fields, sampled: sampled, &worker.random)
  }

  /// Once, at the end.
  func tell(_ nanoseconds: UInt64) {
    let observation = worker.observation
    if observation.taps.isActive {
      observation.taps.offer(TapRecord.line(self, nanoseconds: nanoseconds)) { filter in
        filter.matches(
          service: service.name, method: head.methodName, path: String(decoding: head.path, as: UTF8.self),
          status: status)
      }
    }
    if let tracing = observation.tracing, let trace, trace.isSampled { tracing.add(span(trace, nanoseconds)) }
  }

  private func span(_ trace: TraceContext, _ nanoseconds: UInt64) -> Span {
    let end = WallClock.nanoseconds
    let isServer = service.direction == .inbound
    return Span(
      context: SpanContext(
        trace: trace.traceID, span: TraceContext.digits(trace.span),
        parent: trace.parent == 0 ? "" : TraceContext.digits(trace.parent)),
      kind: isServer ? .server : .client, start: end - nanoseconds, end: end, method: head.methodName,
      path: String(decoding: head.path, as: UTF8.self), service: service.name,
      version: endpoint?.configuration.version ?? "", status: status,
      failed: failed || outcomeStatus >= 500 || status == 0,
      endpoint: endpoint?.configuration.address.description ?? "",
      peer: (isServer ? downstream?.peerIdentity : serverIdentity) ?? "", refused: refusedBy ?? "", attempts: attempts)
  }
}
