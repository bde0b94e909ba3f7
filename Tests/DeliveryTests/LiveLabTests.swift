import Lab
import NorthboundAPI
import NorthboundClient
import Testing

@testable import Delivery

/// What a running lab refuses, and what is asked again.
@Suite struct LiveLabTests {
  private let scratch: Scratch

  init() { scratch = Scratch() }

  private func lab(_ api: FakeLabAPI) throws -> LiveLab {
    LiveLab(api: api, run: try deployable(scratch), program: "/netloom")
  }

  private static let gone = ClientError.interrupted(socket: "/lab/api.sock")

  /// The controller's own words, and the machine's by way of a controller that was restarted.
  @Test(arguments: [
    ("conflict", "a change of the lab is under way"), ("refused", "another change of the image of web-1 is under way"),
  ])
  func aPodThatIsBeingChangedIsToldFromOneThatCannotBe(code: String, message: String) async throws {
    let clash = APIError(code: code, message: message)
    await #expect(throws: PodIsChanging.self) {
      try await lab(FakeLabAPI(images: [clash])).setImage("web:2", of: "web-1", within: 5)
    }
    let api = FakeLabAPI(images: [APIError(code: "refused", message: "web:2 cannot be fetched: not found")])
    let failure = await #expect(throws: StageFailure.self) {
      try await lab(api).setImage("web:2", of: "web-1", within: 5)
    }
    #expect(failure?.reason == "web-1: web:2 cannot be fetched: not found")
    #expect(api.asked == 1)
  }

  @Test func aControllerThatDiesOverAQuestionIsAskedAgainThreeTimes() async throws {
    let dies = FakeLabAPI(images: [Self.gone, Self.gone, Self.gone])
    try await lab(dies).setImage("web:2", of: "web-1", within: 5)
    #expect(dies.asked == 4)
    let isDead = FakeLabAPI(images: Array(repeating: Self.gone, count: 9))
    await #expect(throws: StageFailure.self) { try await lab(isDead).setImage("web:2", of: "web-1", within: 5) }
    #expect(isDead.asked == 4)
    let slow = FakeLabAPI(images: [ClientError.timedOut(path: "/v1", after: .seconds(9))])
    await #expect(throws: StageFailure.self) { try await lab(slow).setImage("web:2", of: "web-1", within: 5) }
    #expect(slow.asked == 1, "what takes too long once does so twice")
  }

  @Test func requestsAreDividedAgainUntilEverySidecarIsThereButNotAgainstARefusal() async throws {
    func change(refused: [String] = [], lagging: [String] = [], absent: [String] = []) -> MeshChange {
      MeshChange(current: 1, refused: refused, lagging: lagging, absent: absent, ms: 1)
    }
    let late = FakeLabAPI(splits: [change(absent: ["web-1"]), change(lagging: ["web-1"]), change()])
    try await lab(late).split("web", ["v1": 1])
    #expect(late.asked == 3)
    let refusing = FakeLabAPI(splits: [change(refused: ["web-1: RDS: no such cluster"]), change()])
    let failure = await #expect(throws: StageFailure.self) { try await lab(refusing).split("web", ["v1": 1]) }
    #expect(failure?.reason.contains("web-1: RDS: no such cluster") == true)
    #expect(refusing.asked == 1)
  }
}
