import Foundation
import Images
import Lab
import Testing
import Topology

@testable import Delivery

/// Packaging and tagging with real umoci.
@Suite(
  .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/umoci"), "umoci is not installed"))
struct ImageStageTests {
  private let scratch = Scratch()
  private var images: ImageStore { ImageStore(root: scratch.path + "/images") }
  private var stages: DeliveryStages {
    DeliveryStages(images: images, labs: RunRoot(path: scratch.path + "/labs"), environment: [])
  }

  private func packaged(_ text: String, _ file: String = wholeFile) async throws -> RunContext {
    try FileManager.default.createDirectory(atPath: scratch.path + "/source/bin", withIntermediateDirectories: true)
    try write(text)
    var facts = RunFacts()
    facts.commit = CommitFacts(
      id: "abc", author: "Ada", email: "a@b", subject: "x", time: 0, folder: scratch.path + "/source")
    let run = try deployable(scratch, file, facts)
    try await stages.package(run)
    return run
  }

  private func write(_ text: String) throws {
    try text.write(toFile: scratch.path + "/source/bin/web", atomically: true, encoding: .utf8)
  }

  private func names() throws -> [String] { try images.images().flatMap(\.names).sorted() }

  @Test func whatHasChangedSinceItWasPackagedGetsNoTag() async throws {
    let run = try await packaged("one")
    try write("two")
    let failure = await #expect(throws: StageFailure.self) { try await stages.tag(run) }
    #expect(failure?.reason.contains("has changed since it was packaged") == true)
    #expect(try names().allSatisfy { $0 != "web:abc" })
    try write("one")
    try await stages.tag(run)
    #expect(run.facts.image?.tag == "abc")
    #expect(try names() == ["web:abc"])
  }

  @Test func theTaggedImageIsWrittenAsAnArchiveToo() async throws {
    let archive = scratch.path + "/web.tar"
    let file = wholeFile.replacing("entrypoint: [/web]}", with: "entrypoint: [/web], archive: \(archive)}")
    let run = try await packaged("one", file)
    #expect(!FileManager.default.fileExists(atPath: archive))
    try await stages.tag(run)
    let other = ImageStore(root: scratch.path + "/other")
    let image = try other.import(archive, tag: "copy:1")
    #expect("\(image.digest)" == run.facts.image?.digest)
    let left = try FileManager.default.contentsOfDirectory(atPath: scratch.path).filter { $0.hasPrefix("web.tar") }
    #expect(left == ["web.tar"])
  }

  @Test func aTagIsNeverMoved() async throws {
    try await stages.tag(try await packaged("one"))
    let other = try await packaged("two")
    let failure = await #expect(throws: StageFailure.self) { try await stages.tag(other) }
    #expect(
      failure?.ending == .stopped && failure?.reason.contains("web:abc is taken, and tags are never moved") == true)
  }
}
