internal import EventLoop
internal import FoundationEssentials
internal import Glibc
public import NetTypes

/// A registry that speaks the distribution protocol over plain HTTP, such as a node of kind `registry`; skopeo does the
/// talking, in the node that `tools` names. A registry that does not answer yet is asked again until the time is up: in
/// a lab that has just started, routing is still converging.
public struct Registry: Sendable {
  private let address: String
  private let store: ImageStore
  private let tools: ToolRunner

  /// - Parameter address: HOST:PORT.
  public init(_ address: String, store: ImageStore, tools: ToolRunner = .here) {
    self.address = address
    self.store = store
    self.tools = tools
  }

  /// Pushes NAME:TAG of the store, reads it back and returns the digest that the registry has for it.
  /// Throws `conflict` where the tag stands there for other content and `replacing` was not asked for; `mismatch` where
  /// the registry has made something else of it.
  public func push(
    _ name: String, tag: String, replacing: Bool = false, within seconds: Double = 60
  ) throws(ImageError) -> ImageDigest {
    let limit = TimeLimit(seconds)
    let own = ImageReference(registry: nil, name: name, tag: tag, digest: nil)
    guard let image = try store.image(own) else {
      throw ImageError(.notFound, "\(own) is not in the image store (\(store.root))")
    }
    if let there = try digest(of: name, tag, within: limit.left) {
      if there == image.digest { return there }
      if !replacing {
        throw ImageError(
          .conflict,
          "\(address)/\(name):\(tag) stands for \(there) already, not for \(image.digest); a tag does not change")
      }
    }
    _ = try ask(
      [
        "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", "oci:\(image.layout):image",
        "docker://\(address)/\(name):\(tag)",
      ], limit)
    guard let there = try digest(of: name, tag, within: limit.left) else {
      throw ImageError(.mismatch, "\(address)/\(name):\(tag) is not there after it was pushed")
    }
    guard there == image.digest else {
      throw ImageError(.mismatch, "\(address)/\(name):\(tag) came to be \(there) instead of \(image.digest)")
    }
    return there
  }

  /// What a tag, or a digest, stands for there; nil: the registry has no such thing.
  public func digest(
    of name: String, _ reference: String, within seconds: Double = 15
  ) throws(ImageError) -> ImageDigest? {
    do throws(ImageError) {
      return try inspect(name, reference, TimeLimit(seconds))
    } catch  where error.kind == .notFound {
      return nil
    }
  }

  private func inspect(_ name: String, _ reference: String, _ limit: TimeLimit) throws(ImageError) -> ImageDigest {
    let separator = ImageDigest(reference) == nil ? ":" : "@"
    let output = try ask(
      [
        "inspect", "--no-tags", "--tls-verify=false", "--format", "{{.Digest}}",
        "docker://\(address)/\(name)\(separator)\(reference)",
      ], limit)
    let text = output.split(whereSeparator: \.isWhitespace).first ?? ""
    guard let digest = ImageDigest(text) else {
      throw ImageError(.environment, "skopeo says of \(address)/\(name): \(output)")
    }
    return digest
  }

  /// Gets an image into the store, by its digest where the reference has one, else by what its tag stands for now. A
  /// digest that the store has is not fetched again. Throws `notFound`, `mismatch`, `unreachable`.
  /// - Parameter awaits: what the registry does not have is asked for again too, until the time is up.
  public func pull(
    _ reference: ImageReference, within seconds: Double = 60, awaits: Bool = false
  ) throws(ImageError) -> StoredImage {
    var limit = TimeLimit(seconds)
    limit.awaits = awaits
    let digest = try resolve(reference, limit)
    var image = try stored(digest)
    if image == nil { image = try fetch(digest, reference, limit) }
    if let name = reference.tagged { try store.name(digest, name, replacing: true) }
    guard let image else { throw ImageError(.notFound, "\(reference) is not in the image store (\(store.root))") }
    return image
  }

  private func resolve(_ reference: ImageReference, _ limit: TimeLimit) throws(ImageError) -> ImageDigest {
    if let digest = reference.digest { return digest }
    return try inspect(reference.name, reference.tag ?? "latest", limit)
  }

  private func stored(_ digest: ImageDigest) throws(ImageError) -> StoredImage? {
    try store.image(ImageReference(registry: nil, name: "", tag: nil, digest: digest))
  }

  private func fetch(
    _ digest: ImageDigest, _ reference: ImageReference, _ limit: TimeLimit
  ) throws(ImageError) -> StoredImage {
    try store.prepare()
    let lock = try StoreLock.take("\(store.root)/locks/sha256-\(digest.hex)", .exclusive, until: limit.deadline)
    defer { withExtendedLifetime(lock) {} }
    if let image = try stored(digest) { return image }  // another process has fetched it meanwhile
    let pending = try PendingImage(store)
    _ = try ask(
      [
        "copy", "--quiet", "--src-tls-verify=false", "docker://\(address)/\(reference.name)@\(digest)",
        "oci:\(pending.image)",
      ], limit)
    return try pending.store(as: digest)
  }

  // MARK: skopeo

  private func ask(_ arguments: [String], _ limit: TimeLimit) throws(ImageError) -> String {
    var pause: UInt32 = 50_000
    while true {
      let result = try tools.run(["skopeo", "--insecure-policy"] + arguments, within: limit.left)
      if result.exit == 0 { return result.output }
      let failure = RegistryFailure(result)
      let isLast = limit.left * 1_000_000 <= Double(pause)
      let mayChange = failure.kind == .unreachable || failure.kind == .notFound && limit.awaits
      guard mayChange, !isLast else {
        throw ImageError(failure.kind, "\(address): \(failure.text)")
      }
      usleep(pause)
      pause = min(pause * 2, 500_000)
    }
  }
}

/// Seconds from now on.
private struct TimeLimit {
  let deadline: UInt64
  /// What is not there may come.
  var awaits = false

  init(_ seconds: Double) { deadline = EventLoop.clock() + UInt64(max(0, min(seconds, 86_400)) * 1_000_000_000) }

  var left: Double {
    let now = EventLoop.clock()
    return now < deadline ? Double(deadline - now) / 1_000_000_000 : 0
  }
}

/// What skopeo's words mean for who asked.
struct RegistryFailure {
  let kind: ImageError.Kind
  let text: String

  init(_ result: ToolOutput) {
    text = ToolMessage(result).text
    let words = text.lowercased()
    func says(_ any: String...) -> Bool { any.contains { words.contains($0) } }
    kind =
      if result.timedOut {
        .unreachable
      } else if result.exit == 127 || says("command not found", "no space left", "permission denied") {
        .environment
      } else if says("does not match", "doesn't match", "mismatch", "digest verification", "corrupt") {
        .mismatch
      } else if says("manifest unknown", "name unknown", "blob unknown", "not found", "no such manifest") {
        .notFound
      } else {
        .unreachable
      }
  }
}
