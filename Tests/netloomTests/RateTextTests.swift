import NorthboundAPI
import Testing

@testable import netloom

struct RateTextTests {
  private func result(_ limitedBy: RateResult.LimitedBy?, undecided: String? = nil) -> RateResult {
    RateResult(
      reachable: true, mbit: 9.614, bytes: 12_017_500, seconds: 10, packetsSent: 8214, packetsReceived: 8202,
      retransmits: 12, limitedBy: limitedBy, because: "packets waited 41 ms", place: "r:eth2",
      intervals: [0, 60_000, 120_000].map { RateInterval(bytes: $0, lost: 0, delayMs: 1) },
      delay: DelaySummary(min: 1.2, median: 41, p99: 58), complete: true, undecided: undecided, capture: nil)
  }

  private func lines(_ result: RateResult) -> [String] {
    RateText(result, palette: Palette(color: false), verbose: false).lines("h1 → web")
  }

  @Test func theVerdictNamesThePlaceAndTheReason() {
    #expect(
      lines(result(.shaping)) == [
        "h1 → web",
        "rate     9.61 Mbit/s over 10.0 s",
        // 120,000 bytes in 100 ms are 9.6 Mbit/s.
        "         ▁▄█  0.0 to 9.6",
        "delay    median 41.00 ms, least 1.20 ms, 99 % below 58.00 ms, one way",
        "packets  8214 sent, 12 lost, 12 sent again",
        "limited by shaping at r:eth2: packets waited 41 ms",
      ])
  }

  @Test func whatIsUndecidedIsNotCalledNone() {
    #expect(lines(result(nil, undecided: "no capture")).last == "undecided: no capture")
    #expect(lines(result(nil)).last == "undecided: packets waited 41 ms")
    #expect(
      lines(result(RateResult.LimitedBy.none)).last == "limited by no queue and no policer: packets waited 41 ms")
  }

  @Test func aLongRunFitsOnALine() {
    let line = RateText.sparkline((0..<600).map { Double($0) })
    #expect(line.count == 60)
    #expect(line.first == "▁" && line.last == "█")
    #expect(RateText.sparkline([0, 0]) == "▁▁")
  }
}

struct RateArgumentTests {
  @Test(
    arguments: [
      ("10mbit", 10_000_000), ("64kbit", 64_000), ("2.5gbit", 2_500_000_000), ("8000bit", 8000),
    ] as [(String, UInt64)])
  func ratesAreInUnitsOfThousand(_ text: String, _ bits: UInt64) {
    #expect(RateArgument(argument: text)?.bitsPerSecond == bits)
    #expect(RateArgument(argument: rateText(bits))?.bitsPerSecond == bits)
  }

  @Test(arguments: ["10", "10Mbps", "10mb", "-1mbit", "0mbit", "infmbit", "nanmbit", "mbit", "1e99gbit"])
  func anotherSpellingIsNoRate(_ text: String) {
    #expect(RateArgument(argument: text) == nil)
  }

  /// Code points of the IANA registry "Differentiated Services Field Codepoints".
  @Test(
    arguments: [
      ("be", 0), ("cs1", 8), ("af11", 10), ("af13", 14), ("af23", 22), ("af41", 34), ("cs5", 40), ("ef", 46),
      ("cs7", 56),
      ("63", 63),
    ] as [(String, UInt8)])
  func codePointsHaveTheirRegisteredValues(_ name: String, _ value: UInt8) {
    #expect(DSCPArgument(argument: name)?.codePoint == value)
  }

  @Test(arguments: ["af14", "cs8", "64", "voice", "", "EF", "-1"])
  func otherWordsAreNoCodePoint(_ name: String) {
    #expect(DSCPArgument(argument: name) == nil)
  }
}
