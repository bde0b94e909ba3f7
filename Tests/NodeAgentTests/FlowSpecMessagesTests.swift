import BGPCore
import BGPWire
import ControlProtocol
import FoundationEssentials
import NetTypes
import SwiftProtobuf
import Testing

@testable import NodeAgent

@Suite("Flow rules of a desired state")
struct FlowSpecMessagesTests {
  private func configuration(_ rules: [NLFlowRule]) -> NLSpeakerConfig {
    .with {
      $0.asn = 64500
      $0.routerID = 1
      $0.ipv4 = true
      $0.flowRules = rules
    }
  }

  /// To 192.0.2.0/24, TCP port 25: the first example of RFC 8955 section 4.3, with its components out of order.
  private var mail: NLFlowRule {
    .with {
      $0.origin = .with {
        $0.text = "flowspec"
        $0.place = "lab.yaml:7:9"
      }
      $0.family = .ipv4Unicast
      $0.components = [
        .with {
          $0.type = 4
          $0.operations = [.with { ($0.equal, $0.value) = (true, 25) }]
        },
        .with {
          $0.type = 1
          $0.prefix = .with { ($0.address, $0.length) = (.init([192, 0, 2, 0]), 24) }
        },
        .with {
          $0.type = 3
          $0.operations = [.with { ($0.equal, $0.value) = (true, 6) }]
        },
      ]
      $0.actions = [.with { $0.rateBytes = 0 }, .with { $0.terminal = false }]
    }
  }

  @Test("A rule and its actions become what is sent and obeyed")
  func lowering() throws {
    let originated = try #require(try SpeakerConfiguration(configuration([mail])).table.flowRules.first)
    #expect(originated.rule.nlri == [0x0B, 1, 0x18, 0xC0, 0, 2, 3, 0x81, 6, 4, 0x81, 0x19])
    #expect(originated.actions.drops && originated.actions.continues)
  }

  @Test("A neighbor carries rules only where its families say so")
  func families() throws {
    var message = configuration([])
    message.neighbors = [
      .with { ($0.name, $0.asn, $0.address) = ("plain", 64501, .init([10, 0, 0, 1])) },
      .with {
        ($0.name, $0.asn, $0.address) = ("rules", 64502, .init([10, 0, 0, 2]))
        $0.families = [.ipv4Unicast, .ipv4Flowspec]
      },
    ]
    let families = try SpeakerConfiguration(message).neighbors.map(\.families)
    #expect(families == [.ipv4Unicast, [.ipv4Unicast, .ipv4FlowSpec]])
  }

  @Test("What no rule can say is refused with the place where it was written")
  func refusals() {
    let edits: [(String, (inout NLFlowRule) -> Void)] = [
      ("no component", { $0.components = [] }), ("unknown component type 99", { $0.components[0].type = 99 }),
      ("port: bad value", { $0.components[0].operations = [] }),
      ("protocol: operators do not parse", { $0.components[2].operations[0].value = 256 }),
      ("destination: bad value", { $0.components[1].offset = 8 }), ("bad action", { $0.actions[0].rateBytes = -1 }),
      ("port: component types do not ascend", { $0.components[2].type = 4 }),
    ]
    for (reason, edit) in edits {
      var rule = mail
      edit(&rule)
      #expect(throws: Refusal("flowspec", reason, place: "lab.yaml:7:9")) {
        try SpeakerConfiguration(configuration([rule]))
      }
    }
    #expect(throws: Refusal("flowspec", "the same flow rule twice", place: "lab.yaml:7:9")) {
      try SpeakerConfiguration(configuration([mail, mail]))
    }
  }
}
