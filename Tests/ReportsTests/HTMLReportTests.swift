import Foundation
import NorthboundAPI
import Scenario
import Testing
import Topology

@testable import Reports

private let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].first {
  FileManager.default.isExecutableFile(atPath: $0)
}

/// What a browser makes of the page: once as it is, with a script put into it that its policy must stop, and once without
/// the policy, where the script runs and says what the browser has computed.
@Suite("HTML report", .enabled(if: chromium != nil, "needs chromium")) struct HTMLReportTests {
  private static let html = Result {
    HTMLReport(try Sample.files(), path: "out/report.html", directory: "/repo").html()
  }
  private static let asItIs = Result { try browse(try html.get()) }
  private static let answers = Result { try answers(from: try browse(try html.get(), policy: false)) }

  private static func browse(_ html: String, policy: Bool = true) throws -> String {
    let folder = try Folder()
    let entries = questions.map { "\"\($0.key)\": () => \($0.value)" }.joined(separator: ",\n")
    let script = """
      <script>
      const questions = {\(entries)};
      const answers = Object.keys(questions).sort().map(key => {
        try { return [key, String(questions[key]())] } catch (error) { return [key, String(error)] }
      });
      document.documentElement.setAttribute('data-answers', encodeURIComponent(JSON.stringify(Object.fromEntries(answers))));
      </script></body>
      """
    let text = html.replacing("</body>", with: script)
    let page = try folder.file(
      "report.html", policy ? text : text.replacing("Content-Security-Policy", with: "x-no-policy"))
    return try Reader.run(
      try #require(chromium),
      [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--user-data-dir=\(folder.path("profile"))", "--dump-dom", "file://" + page,
      ])
  }

  private static func answers(from dom: String) throws -> [String: String] {
    let text = try #require(dom.firstMatch(of: /data-answers="([^"]*)"/)).1.removingPercentEncoding
    return try JSONDecoder().decode([String: String].self, from: Data(try #require(text).utf8))
  }

  private static let shown = """
    [...document.querySelectorAll('#lab-1 [class^="flow-"]')].filter(e => getComputedStyle(e).display != 'none')
      .map(e => e.className.baseVal ?? e.className).join()
    """

  /// The least contrast between a text and what is behind it; luminance as WCAG 2.2 defines it.
  private static let contrast = """
    (() => {
      const luminance = color => {
        const v = color.match(/[\\d.]+/g).slice(0, 3).map(x => { x /= 255;
          return x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4 });
        return .2126 * v[0] + .7152 * v[1] + .0722 * v[2] };
      let worst = ['none', 99];
      for (const e of document.querySelectorAll('body *')) {
        if (e.closest('svg,script') || !e.textContent.trim()) continue;
        let back = e, color;
        do { color = getComputedStyle(back).backgroundColor; back = back.parentElement }
        while (back && color == 'rgba(0, 0, 0, 0)');
        const [x, y] = [luminance(getComputedStyle(e).color), luminance(color)];
        const ratio = (Math.max(x, y) + .05) / (Math.min(x, y) + .05);
        if (ratio < worst[1]) worst = [e.outerHTML.slice(0, 80), ratio];
      }
      return worst[1] >= 4.5 ? 'enough' : worst.join(' ') })()
    """

  /// In the order of their names: the dark scheme last, since it stays.
  private static let questions = [
    "bold": "document.querySelectorAll('article b:not([class]):not(li b), img, iframe').length",
    "contrast in light": contrast,
    "contrast later, in dark": """
    (() => { for (const rule of document.styleSheets[0].cssRules)
        if (rule.conditionText?.includes('dark')) rule.media.mediaText = 'all';
      return getComputedStyle(document.body).backgroundColor + ' ' + \(contrast) })()
    """,
    "drops": "document.querySelectorAll('.flow-1 .drop').length",
    "first shown": shown,
    "forward": "document.querySelectorAll('.flow-0 path.forward').length",
    "note": "document.querySelector('#lab-1-test-2 .timeline .note').textContent.trim()",
    "outage": """
    (() => { const figure = document.querySelector('#lab-1-test-2 .timeline');
      const [outage, load] = ['.bar.outage rect', '.loaded'].map(name => figure.querySelector(name));
      const value = (element, name) => Number(element.getAttribute(name));
      const scale = 3 / value(load, 'width');
      return [(value(outage, 'x') - value(load, 'x')) * scale, value(outage, 'width') * scale]
        .map(x => x.toFixed(2)).join() })()
    """,
    "shown after a choice": "(document.getElementById('lab-1-drawing-flow-0').click(), \(shown))",
  ]

  private func answer(_ question: String) throws -> String? { try Self.answers.get()[question] }

  @Test func theBrowserFindsEveryTestStepAndLinkWithItsTarget() throws {
    let dom = try Self.asItIs.get()
    #expect(dom.matches(of: #/<article class="test /#).count == 7)
    #expect(dom.matches(of: /<li class="[a-z]+"><p class="head">/).count == 9)
    let anchors = Set(dom.matches(of: /href="#([^"]+)"/).map { String($0.1) })
    let identifiers = dom.matches(of: /\bid="([^"]+)"/).map { String($0.1) }
    #expect(anchors.count == 8 && anchors.isSubset(of: Set(identifiers)))
    #expect(Set(identifiers).count == identifiers.count)
    #expect(dom.contains(#"href="../evidence/uplinks/the-uplink-fails-b/""#))
    // The topology, three plots, six timelines: each says what it is.
    #expect(dom.matches(of: /<svg [^>]*role="img" aria-labelledby=/).count == 10)
  }

  @Test func nothingThatALabPrintsBecomesAnElement() throws {
    let dom = try Self.asItIs.get()
    #expect(!dom.contains("<title>taken"))
    // The one that this suite has put in.
    #expect(dom.lowercased().matches(of: /<script/).count == 1)
    #expect(dom.contains("the uplink fails &lt;b&gt;"))
    #expect(dom.contains("&lt;/pre&gt;&lt;script&gt;document.title="))
    #expect(try answer("bold") == "0")
  }

  @Test func thePagesOwnPolicyStopsAScriptThatRunsWithoutIt() throws {
    #expect(try !Self.asItIs.get().contains("data-answers="))
    #expect(try !Self.answers.get().isEmpty)
  }

  @Test func thePageAsksNothingOfTheNetwork() throws {
    let html = try Self.html.get()
    #expect(html.matches(of: #/(src|href)="(?!#|\.\.?/)/#).isEmpty)
    #expect(!html.contains("@import") && html.matches(of: #/url\((?!#)/#).isEmpty)
  }

  /// The failing flow is shown at first; the arrow keys or a click show another one, in the drawing and below it.
  @Test func aRadioButtonShowsTheFlowThatItNames() throws {
    #expect(try answer("first shown") == "flow-1,flow-1 detail")
    #expect(try answer("shown after a choice") == "flow-0,flow-0 detail")
  }

  /// h1, customer, isp1, and through the switch to web: four links. Back over isp2: others but for the last ones.
  @Test func pathsAreDrawnOverTheLinksThatThePacketsTook() throws {
    let lab = try Sample.lab()
    let overlay = PathOverlay(lab: lab, placed: TopologyDrawing(lab: lab).placed())
    let trace = Sample.trace()
    #expect(overlay.legs(trace.forward.path, trace.forward.hops).map(\.link) == [0, 1, 3, 5])
    #expect(overlay.legs(trace.return.path, trace.return.hops).map(\.link) == [5, 4, 2, 0])
    #expect(overlay.legs(["h1", "web"], []).isEmpty)
    #expect(try answer("forward") == "4")
    #expect(try answer("drops") == "1")
  }

  /// 512 ms after the load began, for 287.4 ms.
  @Test func theOutageStandsInTheTimelineAtItsTimeAndLength() throws {
    #expect(try answer("outage") == "0.51,0.29")
    #expect(try answer("note") == "287.4 ms")
  }

  @Test func textHasEnoughContrastInBothSchemes() throws {
    #expect(try answer("contrast in light") == "enough")
    #expect(try answer("contrast later, in dark") == "rgb(20, 23, 28) enough")
  }
}

@Suite("What the page is made of") struct HTMLPartTests {
  @Test func onlyMarkupGoesInUnescaped() {
    let text = "<b>&\"'</b>\u{0}"
    let markup: Markup = "<p>\(text)\(1)\("x" as Markup)</p>"
    #expect(markup.html == "<p>&lt;b&gt;&amp;&quot;&apos;&lt;/b&gt;\u{FFFD}1x</p>")
  }

  /// Second source: `date -u -d TEXT +%s%3N`.
  @Test(arguments: [
    ("2026-03-01T12:00:00.505123456Z", 1_772_366_400_505.123456), ("2024-02-29T23:59:60Z", 1_709_251_200_000),
    ("1969-12-31T23:59:59.5Z", -500), ("2026-03-01T13:00:00.9+01:00", 1_772_366_400_900),
  ]) func timesAreReadToTheNanosecond(text: String, milliseconds: Double) throws {
    #expect(try abs(#require(Moment(rfc3339: text)).milliseconds - milliseconds) < 0.001)
  }

  @Test(arguments: ["", "yesterday", "2026-13-01T00:00:00Z", "2026-03-01T12:00:00", "2026-03-01T12:00:00.5+1"])
  func whatIsNoTimeIsNone(text: String) { #expect(Moment(rfc3339: text) == nil) }

  @Test func aMomentIsWrittenAsDateWritesIt() {
    #expect(Moment(1_772_366_400_505).text == "2026-03-01 12:00:00 UTC")
    #expect(Moment(1_709_251_199_999).text == "2024-02-29 23:59:59 UTC")
  }

  @Test func aPlotKeepsBytesAndLossesWhenItHasMorePointsThanPixels() {
    let intervals = (0..<36_000).map { RateInterval(bytes: 12_500, lost: $0 == 17 ? 5 : 0, delayMs: 2) }
    let samples = Plot.samples(intervals, seconds: 3600)
    #expect(samples.count == 600)
    #expect(samples.allSatisfy { abs($0.mbit - 1) < 1e-9 && $0.delay == 2 })
    #expect(samples.map(\.lost).reduce(0, +) == 5)
  }

  @Test func theLastIntervalIsAsLongAsTheTimeThatWasLeft() {
    let samples = Plot.samples(
      [RateInterval(bytes: 12_500, lost: 0, delayMs: 1), RateInterval(bytes: 6_250, lost: 0, delayMs: 1)], seconds: 0.15
    )
    #expect(samples.map { ($0.mbit * 1000).rounded() } == [1000, 1000])
  }

  @Test func anAxisHasRoundMarksAndNeverDividesByNothing() {
    #expect(Axis(to: 9.61, low: 0, high: 100).ticks == [0, 2, 4, 6, 8, 10])
    #expect(Axis(to: 0, low: 0, high: 100).ticks.count > 1)
    #expect(Axis(to: .nan, low: 0, high: 100)[.infinity] == 100)
    #expect(Axis(to: 0.3, low: 0, high: 1).text(0.1) == "0.1")
  }
}
