// The images of one machine, which all its labs share. Several processes work on it at once: every container node of a
// lab fetches by a process of its own.
//
//   ROOT/images/sha256-HEX/   layout/       the OCI layout as it was pulled, imported or built
//                             bundle/       unpacked once: rootfs/ is the lower layer of every container, and is never written
//                             image.json    appears with the rest in one rename: what is there is whole
//                             use           locked (shared) by who runs it
//   ROOT/names.json           NAME:TAG → digest, replaced in one step under `lock`
//   ROOT/locks/sha256-HEX     held by who fetches that digest: the others wait and find it there
//   ROOT/pending/             under construction; what its maker left behind is swept by `prune`
//
// umoci checks every blob against its digest as it unpacks it, and skopeo the manifest as it pulls it, so what has come
// to stand below a digest is what the digest says.
internal import EventLoop
internal import FoundationEssentials
internal import Glibc
public import NetTypes

public struct ImageStore: Sendable {
  /// Absolute.
  public let root: String

  public init(root: String) { self.root = root }

  /// `NETLOOM_IMAGES`, else `/var/lib/netloom/images` as root, else `$XDG_DATA_HOME/netloom/images` (`~/.local/share`
  /// where that is unset). Nothing is made yet.
  public static func ofThisMachine() throws(ImageError) -> ImageStore {
    try of(ProcessInfo.processInfo.environment, isRoot: geteuid() == 0)
  }

  static func of(_ environment: [String: String], isRoot: Bool) throws(ImageError) -> ImageStore {
    if let own = environment["NETLOOM_IMAGES"], !own.isEmpty { return try at(own, "NETLOOM_IMAGES") }
    if isRoot { return ImageStore(root: "/var/lib/netloom/images") }
    if let data = environment["XDG_DATA_HOME"], !data.isEmpty {
      return try at(data + "/netloom/images", "XDG_DATA_HOME")
    }
    guard let home = environment["HOME"], !home.isEmpty else {
      throw ImageError(.environment, "no place for images: set NETLOOM_IMAGES to a directory of yours")
    }
    return try at(home + "/.local/share/netloom/images", "HOME")
  }

  private static func at(_ path: String, _ variable: String) throws(ImageError) -> ImageStore {
    guard path.hasPrefix("/") else {
      throw ImageError(.environment, "\(variable) wants an absolute path, and is `\(path)`")
    }
    // A node has a /run of its own, and what is to be run must be seen from there.
    guard !path.hasPrefix("/run/") else {
      throw ImageError(.environment, "images cannot lie below /run, which every node has for itself: \(path)")
    }
    return ImageStore(root: path)
  }

  func directory(of digest: ImageDigest) -> String { "\(root)/images/sha256-\(digest.hex)" }

  // MARK: Reading

  /// All of them, by digest.
  public func images() throws(ImageError) -> [StoredImage] {
    let names = try self.names()
    return Folder.entries(of: root + "/images").sorted().compactMap { entry in
      ImageDigest(entry.replacing("sha256-", with: "sha256:")).flatMap { stored($0, names) }
    }
  }

  /// By its digest, where the reference has one, else by its name and tag; nil: it is not there.
  public func image(_ reference: ImageReference) throws(ImageError) -> StoredImage? {
    let names = try self.names()
    if let digest = reference.digest { return stored(digest, names) }
    guard let name = reference.tagged, let digest = names[name].flatMap({ ImageDigest($0) }) else { return nil }
    return stored(digest, names)
  }

  public func digest(of name: String, tag: String) throws(ImageError) -> ImageDigest? {
    try image(ImageReference(registry: nil, name: name, tag: tag, digest: nil))?.digest
  }

  func stored(_ digest: ImageDigest, _ names: [String: String]) -> StoredImage? {
    let directory = directory(of: digest)
    guard let data = try? SmallFile.read(directory + "/image.json"),
      let record = try? JSONDecoder().decode(ImageRecord.self, from: Data(data))
    else { return nil }
    let own = names.filter { $0.value == digest.description }.keys.sorted()
    return StoredImage(
      digest: digest, names: own, size: record.size, layout: directory + "/layout", bundle: directory + "/bundle")
  }

  func names() throws(ImageError) -> [String: String] {
    let path = root + "/names.json"
    do throws(SystemError) {
      let data = Data(try SmallFile.read(path))
      if let names = try? JSONDecoder().decode([String: String].self, from: data) { return names }
      throw SystemError("read", EINVAL, path)
    } catch  where error.code == ENOENT {
      return [:]
    } catch {
      throw ImageError(.environment, "the image store: \(error)")
    }
  }

  /// Keeps others from removing the image for as long as the lock lives.
  public func use(_ digest: ImageDigest) throws(ImageError) -> StoreLock {
    guard let lock = try StoreLock.attempt(directory(of: digest) + "/use", .shared) else {
      throw ImageError(.notFound, "\(digest) is being removed from the image store")
    }
    return lock
  }

  // MARK: Changing

  /// The longest that one change of the names may take another: it reads and writes a small file.
  private static let nameTime: UInt64 = 10_000_000_000

  func prepare() throws(ImageError) {
    try onMachine { () throws(SystemError) in
      for path in ["images", "locks", "pending"] { try Folder.make("\(root)/\(path)") }
    }
  }

  /// Changes the names in one step, alone.
  func changeNames<Result>(
    _ body: (inout [String: String]) throws(ImageError) -> Result
  ) throws(ImageError) -> Result {
    try prepare()
    let lock = try StoreLock.take(root + "/lock", .exclusive, until: EventLoop.clock() + Self.nameTime)
    defer { withExtendedLifetime(lock) {} }
    let before = try names()
    var names = before
    let result = try body(&names)
    guard names != before else { return result }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(names) else { throw ImageError(.environment, "names cannot be encoded") }
    let path = root + "/names.json"
    try onMachine { () throws(SystemError) in
      try SmallFile.write(path + ".new", data)
      try systemCall("rename", path) { rename(path + ".new", path) }
    }
    return result
  }

  /// A name for an image that is there. `conflict`: it stands for another and `replacing` was not asked for.
  public func name(_ digest: ImageDigest, _ name: String, replacing: Bool) throws(ImageError) {
    try changeNames { (names) throws(ImageError) in
      if let old = names[name], old != digest.description, !replacing,
        let old = ImageDigest(old), stored(old, [:]) != nil
      {
        throw ImageError(.conflict, "\(name) stands for \(old) already, not for \(digest); a tag does not change")
      }
      names[name] = digest.description
    }
  }

  /// Takes a tag away, and the image with its last one; by a digest, the image with all its tags. What runs stays
  /// (`environment`).
  public func remove(_ reference: ImageReference) throws(ImageError) {
    guard let image = try image(reference) else {
      throw ImageError(.notFound, "\(reference) is not in the image store (\(root))")
    }
    try changeNames { (names) throws(ImageError) in
      var rest = names.filter { $0.value == image.digest.description }
      if reference.digest == nil, let name = reference.tagged { rest[name] = nil } else { rest = [:] }
      if rest.isEmpty, try !discard(image.digest) {
        throw ImageError(.environment, "\(reference) is in use by a running lab")
      }
      names = names.filter { $0.value != image.digest.description || rest[$0.key] != nil }
    }
  }

  /// Removes the images that no tag stands for and nobody runs, and what crashed processes have left.
  /// - Returns: the images that are gone.
  public func prune() throws(ImageError) -> [StoredImage] {
    let gone = try changeNames { (names) throws(ImageError) -> [StoredImage] in
      var gone: [StoredImage] = []
      for image in try images() where image.names.isEmpty {
        if try discard(image.digest) { gone.append(image) }
      }
      names = names.filter { entry in ImageDigest(entry.value).map { Folder.exists(directory(of: $0)) } == true }
      return gone
    }
    for entry in Folder.entries(of: root + "/pending") {
      let path = "\(root)/pending/\(entry)"
      if try StoreLock.attempt(path + "/lock", .exclusive) != nil { Folder.remove(path) }
    }
    return gone
  }

  /// False: it is in use.
  private func discard(_ digest: ImageDigest) throws(ImageError) -> Bool {
    let directory = directory(of: digest)
    guard let lock = try StoreLock.attempt(directory + "/use", .exclusive) else { return false }
    defer { withExtendedLifetime(lock) {} }
    // Out of sight first: who looks meanwhile sees a whole image or none.
    let away = "\(root)/pending/removed-\(getpid())-\(digest.hex)"
    try onMachine { () throws(SystemError) in _ = try systemCall("rename", directory) { rename(directory, away) } }
    Folder.remove(away)
    return true
  }
}

extension ImageStore {
  /// Takes an image from the disk: an OCI layout (a directory), or an archive as `skopeo copy … oci-archive:FILE` or
  /// `docker save` writes it.
  /// - Parameter tag: NAME:TAG; `conflict` where it stands for another image, unless `replacing`.
  public func `import`(_ path: String, tag: String?, replacing: Bool = false) throws(ImageError) -> StoredImage {
    let reference = try tag.map { (tag) throws(ImageError) in try ImageReference(tag) }
    guard access(path, R_OK) == 0 else { throw ImageError(.usage, "\(path): \(SystemError.last("access").text)") }
    let transports = Folder.exists(path + "/index.json") ? ["oci"] : ["oci-archive", "docker-archive"]
    var failure = ""
    for transport in transports {
      let pending = try PendingImage(self)
      let result = try ToolRunner.here.run([
        "skopeo", "--insecure-policy", "copy", "--quiet", "\(transport):\(path)", "oci:\(pending.image)",
      ])
      guard result.exit == 0 else {
        if failure.isEmpty { failure = ToolMessage(result).text }
        continue
      }
      let (digest, _) = try pending.manifest()
      var known = try stored(digest, names())
      if known == nil { known = try pending.store() }
      guard let image = known else { continue }
      if let name = reference?.tagged { try self.name(image.digest, name, replacing: replacing) }
      return stored(image.digest, try names()) ?? image
    }
    throw ImageError(.usage, "\(path): neither an OCI layout nor an archive of an image: \(failure)")
  }

  /// Writes an image of the store as an OCI archive, which skopeo, podman and `import` read. It is there whole or not at all.
  /// - Parameter name: NAME:TAG.
  public func export(_ name: String, to path: String) throws(ImageError) {
    let reference = try ImageReference(name)
    guard let image = try image(reference) else {
      throw ImageError(.notFound, "\(reference) is not in the image store (\(root))")
    }
    let pending = "\(path).\(getpid()).new"
    defer { _ = unlink(pending) }
    let result = try ToolRunner.here.run([
      "skopeo", "--insecure-policy", "copy", "--quiet", "--preserve-digests", "oci:\(image.layout):image",
      "oci-archive:\(pending):\(name)",
    ])
    guard result.exit == 0 else { throw ImageError(.environment, "\(path): \(ToolMessage(result).text)") }
    try onMachine { () throws(SystemError) in _ = try systemCall("rename", path) { rename(pending, path) } }
  }
}
