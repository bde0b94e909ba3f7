import ArgumentParser
import Lab
import NorthboundAPI
import Testing
import Topology

@testable import netloom

struct FaultArgumentsTests {
  private func commands(_ line: String) throws -> [FaultCommand] {
    let words = line.split(separator: " ").map(String.init)
    let command = try FaultCommandLine.parse(words)
    let kind = try #require(FaultStep.Kind(rawValue: command.kind))
    return try command.arguments.commands(kind, command.targets)
  }

  @Test func aLossOfOneDirectionNamesTheNodeThatSends() throws {
    var expected = FaultCommand(kind: "loss", targets: ["a:eth1", "b:eth1"])
    expected.percent = 0.5
    expected.from = "b"
    #expect(try commands("loss a:eth1 b:eth1 0.5% --from b") == [expected])
    #expect(try commands("loss a:eth1 b:eth1 0.5% --from b:eth1") == [expected])
  }

  @Test func aDelayWithJitterIsTwoFaults() throws {
    let both = try commands("delay a:eth1 b:eth1 50ms --jitter 5ms")
    #expect(both.map(\.kind) == ["delay", "jitter"])
    #expect(both.map(\.microseconds) == [50_000, 5000])
    #expect(both.allSatisfy { $0.targets == ["a:eth1", "b:eth1"] && $0.from == nil })
  }

  @Test func aFlapSaysItsTimes() throws {
    var expected = FaultCommand(kind: "flap", targets: ["a:eth1", "b:eth1"])
    expected.times = 5
    expected.downMs = 200
    expected.upMs = 1000
    #expect(try commands("flap a:eth1 b:eth1 --times 5 --down 200ms") == [expected])
  }

  @Test func ratesAreDecimalAndZeroTakesTheFaultAway() throws {
    #expect(try commands("rate a:eth1 b:eth1 1.5mbit").map(\.bitsPerSecond) == [1_500_000])
    #expect(try commands("rate a:eth1 b:eth1 0").map(\.bitsPerSecond) == [0])
    #expect(try commands("delay a:eth1 b:eth1 0").map(\.microseconds) == [0])
  }

  @Test func groupsOfAPartitionStandBetweenSpaces() throws {
    let command = try #require(try commands("partition a,b c").first)
    #expect(command.groups == [["a", "b"], ["c"]] && command.targets.isEmpty)
  }

  @Test(arguments: [
    ("loss a:eth1 b:eth1", "how much"), ("loss a:eth1 b:eth1 10", "such as 10%"), ("loss a:eth1 b:eth1 101%", "10%"),
    ("loss a b:eth1 10%", "names no interface"), ("loss a:eth1 b:eth1 1% --from c", "no end of this link"),
    ("link-down a:eth1 b:eth1 --times 2", "belongs to flap"), ("rate a:eth1 b:eth1 5mbps", "such as 5mbit"),
    ("delay a:eth1 b:eth1 11s", "such as 50ms"), ("flap a:eth1 b:eth1 --times 0", "1 to 100000"),
    ("partition a,b", "two groups"), ("partition a b,a", "stands twice"), ("kill a b", "one node"),
  ])
  func whatCannotBeMeantIsRefusedInOneLine(_ line: String, _ word: String) {
    #expect {
      _ = try commands(line)
    } throws: { error in
      guard let error = error as? LabError else { return false }
      return error.kind == .usage && error.message.contains(word) && !error.message.contains("\n")
    }
  }
}
