/// `ExportTraceServiceRequest` in JSON; attributes by OpenTelemetry's semantic conventions for HTTP where they have a name.
enum OTLP {
  static func json(_ spans: [Span], service: String, pod: String) -> String {
    let resource = [text("service.name", service), text("service.instance.id", pod)].joined(separator: ",")
    return "{\"resourceSpans\":[{\"resource\":{\"attributes\":[\(resource)]},\"scopeSpans\":[{\"scope\":"
      + "{\"name\":\"netloom-sidecar\"},\"spans\":[\(spans.map(json).joined(separator: ","))]}]}]}"
  }

  private static func json(_ span: Span) -> String {
    var attributes = [
      text("http.request.method", span.method), text("url.path", span.path), text("netloom.service", span.service),
    ]
    if span.status > 0 { attributes.append(number("http.response.status_code", span.status)) }
    if !span.endpoint.isEmpty { attributes.append(text("network.peer.address", span.endpoint)) }
    if !span.version.isEmpty { attributes.append(text("netloom.version", span.version)) }
    if !span.peer.isEmpty { attributes.append(text("netloom.peer.identity", span.peer)) }
    if !span.refused.isEmpty { attributes.append(text("netloom.refused", span.refused)) }
    if span.attempts > 1 { attributes.append(number("http.request.resend_count", span.attempts - 1)) }
    let parent = span.context.parent.isEmpty ? "" : "\"parentSpanId\":\"\(span.context.parent)\","
    let status = span.failed ? "{\"code\":2}" : "{}"
    return "{\"traceId\":\"\(span.context.trace)\",\"spanId\":\"\(span.context.span)\",\(parent)"
      + "\"name\":\(AccessLog.quote("\(span.method) \(span.service)")),\"kind\":\(span.kind.rawValue),"
      + "\"startTimeUnixNano\":\"\(span.start)\",\"endTimeUnixNano\":\"\(span.end)\","
      + "\"attributes\":[\(attributes.joined(separator: ","))],\"status\":\(status)}"
  }

  private static func text(_ key: String, _ value: String) -> String {
    "{\"key\":\"\(key)\",\"value\":{\"stringValue\":\(AccessLog.quote(String(value.prefix(1024))))}}"
  }

  /// 64-bit numbers are text in protobuf's JSON.
  private static func number(_ key: String, _ value: Int) -> String {
    "{\"key\":\"\(key)\",\"value\":{\"intValue\":\"\(value)\"}}"
  }
}
