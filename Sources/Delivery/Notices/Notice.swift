internal import FoundationEssentials
internal import Topology

/// What somebody is told about a run: the body of a webhook, a line of a notice file.
struct Notice: Codable, Equatable {
  struct Author: Codable, Equatable {
    var name: String
    var email: String
  }

  struct Judgement: Codable, Equatable {
    var weight: Int
    var name: String
    var measured: String
    var threshold: String
    var running: String?
    var verdict: String
    var detail: String?
  }

  var pipeline: String
  var run: Int
  /// released | stopped | rolled-back | cancelled | waiting
  var event: String
  var stage: String?
  var reason: String?
  var ref: String
  var commit: String?
  var subject: String?
  /// Of the commit: whom a failing test is for.
  var author: Author?
  var failedTests: [FailedTest]
  var image: String?
  var tag: String?
  var approval: ApprovalFacts?
  var judgements: [Judgement]
  /// RFC 3339.
  var at: String

  init(_ outcome: RunOutcome, _ run: RunContext) {
    let facts = run.facts
    pipeline = run.pipeline.name
    self.run = run.number
    event = outcome.state.rawValue
    stage = outcome.stage?.rawValue
    reason = outcome.reason
    ref = run.ref
    commit = facts.commit?.id
    subject = facts.commit?.subject
    author = facts.commit.map { Author(name: $0.author, email: $0.email) }
    failedTests = facts.tests?.failed ?? []
    image = facts.image.map { $0.pushed ?? $0.local } ?? facts.deployment?.image
    tag = facts.image?.tag
    approval = facts.approval
    judgements = facts.judgements.flatMap { step in
      step.measures.map {
        Judgement(
          weight: step.weight, name: $0.name, measured: $0.measured, threshold: $0.threshold, running: $0.running,
          verdict: $0.verdict.rawValue, detail: $0.detail)
      }
    }
    at = Date().formatted(.iso8601)
  }

  /// One line.
  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  /// `web/3 rolled-back at release: …`
  var sentence: String {
    let what = "\(pipeline)/\(run) (\(ref)) \(event)"
    return reason.map { "\(what): \($0)" } ?? what
  }
}
