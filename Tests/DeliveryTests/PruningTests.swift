import Foundation
import Testing
import Topology

@testable import Delivery

@Suite struct PruningTests {
  private let scratch = Scratch()
  private let work = FakeWork()
  private let text = wholeFile.replacingOccurrences(of: "approve: manual", with: "approve: automatic")

  private func run() async throws -> RunRecord {
    try await Pipelines(root: scratch.root, work: work).run(try request(text))
  }

  private func exists(_ path: String, of run: Int) -> Bool {
    FileManager.default.fileExists(atPath: "\(scratch.root.folder(of: "web").run(run))/\(path)")
  }

  /// Each run leaves a checkout, and packages an image of its own.
  private func leaveThings(released: Bool) {
    let folder = scratch.root.folder(of: "web")
    work.arrange {
      $0.perRun = { stage, run in
        guard stage == .package else { return }
        let source = folder.run(run.number) + "/source"
        for name in ["source", "initial"] {
          try FileManager.default.createDirectory(
            atPath: folder.run(run.number) + "/" + name, withIntermediateDirectories: true)
        }
        try run.update {
          $0.commit = CommitFacts(
            id: "c\(run.number)", author: "Ada", email: "a@b", subject: "x", time: 0, folder: source)
          $0.image = ImageFacts(name: "web", digest: "sha256:\(run.number)", tag: "c\(run.number)", pushed: nil)
          if released {
            $0.deployment = DeploymentFacts(
              lab: "production", service: "web", serving: "blue", slot: "green", image: "r/web@sha256:\(run.number)",
              servingImage: "r/web@sha256:\(run.number - 1)", pods: [], phase: .released, step: 0, weight: 100)
          }
        }
      }
    }
  }

  @Test func whatNobodyCanNeedGoesAndTheRestStays() async throws {
    leaveThings(released: true)
    for _ in 1...2 { #expect(try await run().state == .released) }
    leaveThings(released: false)
    work.arrange { $0.failures[.verify] = StageFailure(.stopped, "no") }
    for _ in 3...Pruning.runsWithLogs + 3 { #expect(try await run().state == .stopped) }
    work.arrange { $0.forgotten = [] }
    let last = try await run().number
    // The last release: a rollback reads its checkout. The last delivery before this one: `--from` went on with it.
    #expect(exists("source", of: 2) && exists("source.log", of: 2) && exists("source", of: last - 1))
    #expect(!exists("source", of: 3) && !exists("initial", of: last - 2))
    // Logs of the last runs stay.
    #expect(!exists("source.log", of: 1) && exists("source.log", of: last - 2))
    #expect(!exists("", of: last - 1 - Pruning.runsWithLogs))
    // sha256:1 served before the last release.
    #expect(work.forgotten.contains("web:c3") && work.forgotten.contains("web:run-web-3"))
    #expect(Set(work.forgotten).isDisjoint(with: ["web:c1", "web:c2", "web:c\(last - 1)"]))
    #expect(try PipelineStore(scratch.root.folder(of: "web")).runs().count == last)
  }

  @Test func aRunThatIsNotOverKeepsEverything() async throws {
    leaveThings(released: false)
    work.arrange { $0.blocking = .verify }
    let task = Task { [pipelines = Pipelines(root: scratch.root, work: work), text] in
      try await pipelines.run(try request(text))
    }
    while !work.performed.contains(.verify) { await Task.yield() }
    task.cancel()
    #expect(try await task.value.state == .interrupted)
    work.arrange {
      $0.blocking = nil
      $0.forgotten = []
    }
    for _ in 1...3 { _ = try await run() }
    #expect(exists("source", of: 1) && exists("initial", of: 1) && !exists("source", of: 2))
    #expect(!work.forgotten.contains("web:c1") && work.forgotten.contains("web:c2"))
  }

  /// The rollback's own run has no checkout: it reads that of the release.
  @Test func theCheckoutOfAnotherRunStaysWhileItIsRead() {
    let folder = scratch.root.folder(of: "web")
    func record(_ number: Int, _ kind: RunRecord.Kind, _ checkout: Int, _ isReleased: Bool = true) -> RunRecord {
      var facts = RunFacts()
      facts.commit = CommitFacts(
        id: "c", author: "", email: "", subject: "", time: 0, folder: folder.run(checkout) + "/source")
      if isReleased { facts.deployment = .sample(.released) }
      return RunRecord(
        number: number, kind: kind, text: "", file: "", directory: "", ref: "", startedBy: "",
        state: isReleased ? .released : .stopped, reason: nil, exit: nil, startedAt: 0, endedAt: 1, facts: facts)
    }
    let runs = [
      record(5, .delivery, 5, false), record(4, .rollback, 3), record(3, .delivery, 3), record(2, .delivery, 2),
    ]
    #expect(Set(Pruning.kept(runs, folder).map(\.number)) == [5, 4, 3])
  }
}
