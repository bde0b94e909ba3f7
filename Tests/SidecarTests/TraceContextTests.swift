import HTTP1
import Testing

@testable import Sidecar

/// W3C Trace Context, sections 3.2 and 3.3; the samples are the specification's.
@Suite struct TraceContextTests {
  private let sample = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

  /// What goes out in place of `values`.
  private func hop(_ values: String..., state: String? = nil, sampled: Bool = true) -> (TraceContext, HeaderFields) {
    var random = FastRandom(seed: 1)
    var fields = HeaderFields(values.map { ("traceparent", $0) })
    if let state { fields.append("tracestate", state) }
    let context = TraceContext.hop(&fields, sampled: sampled, &random)
    return (context, fields)
  }

  @Test("the trace and the flag stay, the span is a new one, tracestate goes with them", arguments: ["00", "01"])
  func continues(flags: String) throws {
    let (context, fields) = hop(sample.prefix(53) + flags, state: "congo=t61rcWkgMzE")
    let out = try #require(fields.combined("traceparent"))
    #expect(out.hasPrefix("00-4bf92f3577b34da6a3ce929d0e0e4736-"))
    #expect(out.hasSuffix("-" + flags))
    #expect(!out.contains("00f067aa0ba902b7"))
    #expect(out.wholeMatch(of: /00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]/) != nil)
    #expect(TraceContext.digits(context.parent) == "00f067aa0ba902b7")
    #expect(context.isSampled == (flags == "01"))
    #expect(fields.first("tracestate") == "congo=t61rcWkgMzE")
  }

  @Test(
    "what is no traceparent begins a new trace, without the old one's tracestate",
    arguments: [
      "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
      "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
      "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
      "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", "00-4bf92f3577b34da6a3ce929d0e0e4736", "",
      "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
    ])
  func begins(text: String) throws {
    let (context, fields) = hop(text, state: "congo=t61rcWkgMzE", sampled: false)
    let out = try #require(fields.combined("traceparent"))
    #expect(out.wholeMatch(of: /00-[0-9a-f]{32}-[0-9a-f]{16}-00/) != nil)
    #expect(!out.lowercased().contains("4bf92f35"))
    #expect(context.parent == 0)
    #expect(fields.first("tracestate") == nil)
  }

  @Test("two traceparents are none, a later version is read as far as it is known")
  func others() throws {
    let (_, two) = hop(sample, sample)
    #expect(two.combined("traceparent")?.contains("4bf92f35") == false)
    #expect(two.combined("traceparent")?.utf8.count == 55)
    let (later, fields) = hop("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-is-yet-to-come")
    #expect(later.traceID == "4bf92f3577b34da6a3ce929d0e0e4736")
    #expect(fields.combined("traceparent")?.hasPrefix("00-4bf92f3577b34da6a3ce929d0e0e4736-") == true)
  }
}
