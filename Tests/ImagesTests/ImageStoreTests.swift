import Foundation
import NetTypes
import Testing

@testable import Images

/// A store of its own, with real umoci and skopeo.
final class Workshop {
  let directory: String
  let store: ImageStore

  static let hasTools = ["umoci", "skopeo"].allSatisfy {
    FileManager.default.isExecutableFile(atPath: "/usr/bin/" + $0)
  }

  init() throws {
    directory = "/tmp/nli-\(getpid())-\(UInt32.random(in: 0..<1 << 24))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    store = ImageStore(root: directory + "/images")
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  func file(_ name: String, _ text: String) throws -> String {
    let path = "\(directory)/\(name)"
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  func build(_ tag: String, _ text: String, replacing: Bool = false) throws -> ImageDigest {
    try ImageBuilder(store).build(
      files: [(try file("program", text), "/opt/program")], entrypoint: ["/opt/program", "run"],
      labels: ["b": "2", "a": "1"], tag: tag, replacing: replacing)
  }
}

@Suite(.enabled(if: Workshop.hasTools, "umoci and skopeo are not installed"))
struct ImageStoreTests {
  @Test func `the same content gives the same digest, other content another`() throws {
    let workshop = try Workshop()
    let first = try workshop.build("web:v1", "one")
    // Another file, written at another time, in another store.
    let other = try Workshop()
    let before = Date(timeIntervalSince1970: 1_000_000_000)
    let path = try other.file("program", "one")
    try FileManager.default.setAttributes([.modificationDate: before], ofItemAtPath: path)
    let second = try ImageBuilder(other.store).build(
      files: [(path, "/opt/program")], entrypoint: ["/opt/program", "run"], labels: ["a": "1", "b": "2"], tag: "x:y")
    #expect(first == second)
    #expect(try workshop.build("web:v2", "two") != first)
  }

  @Test func `an image in the store is whole: named, unpacked, with its layout`() throws {
    let workshop = try Workshop()
    let digest = try workshop.build("web:v1", "one")
    let image = try #require(try workshop.store.image(ImageReference("web:v1")))
    #expect(image.digest == digest && image.names == ["web:v1"] && image.size > 0)
    #expect(try String(contentsOfFile: image.bundle + "/rootfs/opt/program", encoding: .utf8) == "one")
    let manifest = try Data(contentsOf: URL(fileURLWithPath: "\(image.layout)/blobs/sha256/\(digest.hex)"))
    #expect(manifest.count > 100)
    #expect(try workshop.store.digest(of: "web", tag: "v1") == digest)
    #expect(try workshop.store.digest(of: "web", tag: "v2") == nil)
    #expect(try workshop.store.image(ImageReference("other@\(digest)"))?.digest == digest)
  }

  @Test func `a tag that stands for other content is refused and stays, unless it is to be replaced`() throws {
    let workshop = try Workshop()
    let first = try workshop.build("web:v1", "one")
    let error = #expect(throws: ImageError.self) { try workshop.build("web:v1", "two") }
    #expect(error?.kind == .conflict)
    #expect(try workshop.store.digest(of: "web", tag: "v1") == first)
    #expect(try workshop.build("web:v1", "one") == first)
    let second = try workshop.build("web:v1", "two", replacing: true)
    #expect(try workshop.store.digest(of: "web", tag: "v1") == second && second != first)
  }

  @Test func `an image goes with its last tag, and not while it is used`() throws {
    let workshop = try Workshop()
    let digest = try workshop.build("web:v1", "one")
    try workshop.store.name(digest, "web:stable", replacing: false)
    try workshop.store.remove(ImageReference("web:v1"))
    #expect(try workshop.store.image(ImageReference("web:stable"))?.digest == digest)
    do {
      let use = try workshop.store.use(digest)
      let error = #expect(throws: ImageError.self) { try workshop.store.remove(ImageReference("web:stable")) }
      #expect(error?.kind == .environment)
      #expect(try workshop.store.image(ImageReference("web:stable")) != nil)
      _ = consume use
    }
    try workshop.store.remove(ImageReference("web:stable"))
    #expect(try workshop.store.images().isEmpty)
    let error = #expect(throws: ImageError.self) { try workshop.store.remove(ImageReference("web:stable")) }
    #expect(error?.kind == .notFound)
  }

  @Test func `prune takes what no tag stands for, and what a killed process left`() throws {
    let workshop = try Workshop()
    let first = try workshop.build("web:v1", "one")
    let second = try workshop.build("web:v1", "two", replacing: true)
    let left = workshop.store.root + "/pending/left"
    try FileManager.default.createDirectory(atPath: left, withIntermediateDirectories: true)
    #expect(try workshop.store.prune().map(\.digest) == [first])
    #expect(try workshop.store.images().map(\.digest) == [second])
    #expect(!FileManager.default.fileExists(atPath: left))
  }

  @Test func `processes that build at the same time do not disturb each other`() async throws {
    let workshop = try Workshop()
    let path = try workshop.file("program", "one")
    let store = workshop.store
    let digests = try await withThrowingTaskGroup(of: ImageDigest.self) { group in
      for index in 0..<4 {
        group.addTask {
          try ImageBuilder(store).build(files: [(path, "/p")], entrypoint: ["/p"], tag: "web:v\(index)")
        }
      }
      return try await group.reduce(into: Set<ImageDigest>()) { $0.insert($1) }
    }
    #expect(digests.count == 1)
    #expect(try store.images().map(\.names) == [["web:v0", "web:v1", "web:v2", "web:v3"]])
    #expect(try FileManager.default.contentsOfDirectory(atPath: store.root + "/pending").isEmpty)
  }

  @Test func `an archive and a layout are taken as they are`() throws {
    let workshop = try Workshop()
    let digest = try workshop.build("web:v1", "one")
    let image = try #require(try workshop.store.image(ImageReference("web:v1")))
    let archive = workshop.directory + "/web.tar"
    let copied = try ToolRunner.here.run([
      "skopeo", "--insecure-policy", "copy", "oci:\(image.layout):image", "oci-archive:\(archive)",
    ])
    #expect(copied.exit == 0, "\(copied.errorOutput)")
    let other = ImageStore(root: workshop.directory + "/other")
    #expect(try other.import(archive, tag: "got:1").digest == digest)
    #expect(try other.import(image.layout, tag: "got:2").names == ["got:1", "got:2"])
    let text = try workshop.file("text", "no image")
    #expect(#expect(throws: ImageError.self) { try other.import(text, tag: nil) }?.kind == .usage)
  }

  @Test func `links of the base lead into the image, not into the machine`() throws {
    let workshop = try Workshop()
    let (base, outside) = (workshop.directory + "/base", workshop.directory + "/outside")
    let manager = FileManager.default
    for path in [base + "/data/deep", outside] {
      try manager.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    _ = try workshop.file("outside/kept", "the machine's")
    for (link, target) in [
      ("srv", outside), ("var", "../../../../../.." + outside), ("data/file", outside + "/kept"),
      ("data/deep/folder", outside), ("loop", "/loop"),
    ] {
      try manager.createSymbolicLink(atPath: base + "/" + link, withDestinationPath: target)
    }
    let builder = ImageBuilder(workshop.store)
    _ = try builder.build(files: [(base, "/")], entrypoint: [], tag: "base:1")
    let program = try workshop.file("program", "the image's")
    let tree = workshop.directory + "/tree"
    for path in [tree, tree + "/deep/folder"] {
      try manager.createDirectory(atPath: path, withIntermediateDirectories: true)
      try "the image's".write(toFile: path + "/file", atomically: true, encoding: .utf8)
    }
    _ = try builder.build(
      files: [(program, "/srv/kept"), (program, "/var/sub/two"), (program, "/data/file"), (tree, "/data")],
      entrypoint: [], base: ImageReference("base:1"), tag: "web:1")
    #expect(try manager.contentsOfDirectory(atPath: outside) == ["kept"])
    #expect(try String(contentsOfFile: outside + "/kept", encoding: .utf8) == "the machine's")
    let root = try #require(try workshop.store.image(ImageReference("web:1"))).bundle + "/rootfs"
    for place in [outside + "/kept", outside + "/sub/two", outside + "/file", "/data/file"] {
      #expect(try String(contentsOfFile: root + place, encoding: .utf8) == "the image's", "\(place)")
    }
    let error = #expect(throws: ImageError.self) {
      try builder.build(
        files: [(program, "/loop/x")], entrypoint: [], base: ImageReference("base:1"), tag: "web:2")
    }
    #expect(error?.message.contains("too many links") == true)
  }

  @Test func `what cannot be built is refused by its place, and nothing is left`() throws {
    let workshop = try Workshop()
    let builder = ImageBuilder(workshop.store)
    let path = try workshop.file("program", "one")
    for (files, tag) in [
      ([(source: workshop.directory + "/absent", destination: "/p")], "web:v1"), ([(path, "p")], "web:v1"),
      ([(path, "/a/../../p")], "web:v1"), ([(path, "/p")], "Web:v1"),
      ([(path, "/p")], "web@sha256:\(String(repeating: "0", count: 64))"),
    ] {
      let error = #expect(throws: ImageError.self) { try builder.build(files: files, entrypoint: [], tag: tag) }
      #expect(error?.kind == .usage, "\(tag) \(error?.message ?? "")")
    }
    #expect(try workshop.store.images().isEmpty)
  }
}

@Suite struct ImagePlaceTests {
  @Test(arguments: [
    (["NETLOOM_IMAGES": "/srv/images"], true, "/srv/images"), ([:], true, "/var/lib/netloom/images"),
    (["XDG_DATA_HOME": "/home/u/data"], false, "/home/u/data/netloom/images"),
    (["HOME": "/home/u"], false, "/home/u/.local/share/netloom/images"),
  ])
  func `the store has its place`(_ environment: [String: String], _ isRoot: Bool, _ root: String) throws {
    #expect(try ImageStore.of(environment, isRoot: isRoot).root == root)
  }

  @Test(arguments: [["NETLOOM_IMAGES": "images"], ["NETLOOM_IMAGES": "/run/images"], [:]])
  func `a place that labs could not see is refused`(_ environment: [String: String]) {
    #expect(throws: ImageError.self) { try ImageStore.of(environment, isRoot: false) }
  }

  @Test(arguments: [
    ("manifest unknown", ImageError.Kind.notFound),
    ("dial tcp 10.0.0.1:5000: connect: connection refused", .unreachable),
    ("dial tcp: lookup registry: no such host", .unreachable), ("no route to host", .unreachable),
    ("Manifest does not match provided manifest digest sha256:00", .mismatch),
    ("write /var/tmp/x: no space left on device", .environment),
  ])
  func `what skopeo says is understood`(_ text: String, _ kind: ImageError.Kind) {
    let line = "time=\"2026-01-01T00:00:00Z\" level=fatal msg=\"Error reading \\\"x\\\": \(text)\"\n"
    let failure = RegistryFailure(ToolOutput(exit: 1, output: "", errorOutput: line, timedOut: false))
    #expect(failure.kind == kind)
    #expect(failure.text == "Error reading \"x\": \(text)")
  }

  @Test func `a tool that does not end is ended`() throws {
    let begun = ContinuousClock.now
    let result = try ToolRunner.here.run(["sh", "-c", "echo begun; sleep 60"], within: 0.2)
    #expect(result.timedOut && result.output == "begun\n" && result.exit == 128 + SIGKILL)
    #expect(ContinuousClock.now - begun < .seconds(5))
    #expect(throws: ImageError.self) { try ToolRunner.here.run(["no-such-program"]) }
  }
}
