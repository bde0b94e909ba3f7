// What crun is given to run (OCI runtime specification, config.json): the program, user and folder that the image
// names, in a root file system of its own, in the node's network and host name, with the node's /etc/hosts. What umoci
// made of the image's configuration is read; namespaces, mounts and capabilities are the lab's to say.
import ControlProtocol
import EventLoop
import FoundationEssentials
import Glibc

/// What `netloom image pull -o json` answers.
struct FetchedImage: Codable, Equatable {
  var digest: String
  var bundle: String
  var store: String

  /// The image's own, in the store.
  var directory: String { bundle.hasSuffix("/bundle") ? String(bundle.dropLast("/bundle".count)) : bundle }
}

struct ContainerBundle {
  /// `nodes/NODE/container`; what belongs to one start after the other of one image stands below it by number.
  let directory: String
  let image: FetchedImage

  var upper: String { directory + "/upper" }
  var work: String { directory + "/work" }
  var root: String { directory + "/root" }
  var pidFile: String { directory + "/pid" }
  var lower: String { image.bundle + "/rootfs" }

  /// umoci's config.json, as far as it is taken over.
  struct ImageRuntime: Decodable {
    struct Process: Decodable {
      var user: User
      var args: [String]?
      var env: [String]?
      var cwd: String
    }

    struct User: Codable, Equatable {
      var uid: UInt32
      var gid: UInt32
      var additionalGids: [UInt32]?
    }

    var process: Process
    var annotations: [String: String]?
  }

  func runtime() throws(BuildError) -> ImageRuntime {
    let path = image.bundle + "/config.json"
    do {
      return try JSONDecoder().decode(ImageRuntime.self, from: Data(try SmallFile.read(path)))
    } catch {
      throw BuildError("\(path): not what umoci writes: \(error)")
    }
  }

  /// Makes the directories and writes `config.json`.
  func write(_ plan: NLContainerPlan, environment: [String], extra: [RuntimeSpec.Mount]) throws(BuildError) {
    let runtime = try runtime()
    let spec = RuntimeSpec(
      process: RuntimeSpec.Process(
        user: runtime.process.user, args: try arguments(plan, runtime),
        env: SpawnRequest.merged((runtime.process.env ?? []) + environment), cwd: runtime.process.cwd,
        capabilities: .usual), root: RuntimeSpec.Root(path: root),
      mounts: RuntimeSpec.Mount.usual + extra
        + plan.binds.map { .bind($0.source, $0.destination, readOnly: $0.readOnly) })
    do {
      for path in [directory, upper, work, root] { try makeDirectory(path, mode: 0o755) }
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      try SmallFile.write(directory + "/config.json", Array(try encoder.encode(spec)))
    } catch {
      throw BuildError("\(error)")
    }
  }

  /// umoci joins entrypoint and command, so the image's own entrypoint is asked for where arguments are replaced.
  private func arguments(_ plan: NLContainerPlan, _ runtime: ImageRuntime) throws(BuildError) -> [String] {
    let own = runtime.process.args ?? []
    guard plan.replacesArguments else {
      if own.isEmpty { throw BuildError("the image has neither entrypoint nor command; say one with `cmd`") }
      return own
    }
    let arguments = try ImageConfiguration(image).entrypoint + plan.arguments
    if arguments.isEmpty { throw BuildError("the image has no entrypoint, and `cmd` is empty") }
    return arguments
  }
}

/// The image's configuration document in its layout (OCI image specification, "Image Configuration").
struct ImageConfiguration {
  private struct Index: Decodable { var manifests: [Descriptor] }
  private struct Descriptor: Decodable { var digest: String }
  private struct Manifest: Decodable { var config: Descriptor }
  private struct Document: Decodable { var config: Settings? }
  private struct Settings: Decodable {
    // The specification's own spelling.
    var Entrypoint: [String]?  // swift-format-ignore: AlwaysUseLowerCamelCase
  }

  let entrypoint: [String]

  init(_ image: FetchedImage) throws(BuildError) {
    let layout = image.directory + "/layout"
    do {
      let index = try JSONDecoder().decode(Index.self, from: Data(try SmallFile.read(layout + "/index.json")))
      guard let manifest = index.manifests.first else { throw BuildError("\(layout): no image") }
      let config: Manifest = try Self.blob(layout, manifest.digest)
      let document: Document = try Self.blob(layout, config.config.digest)
      entrypoint = document.config?.Entrypoint ?? []
    } catch let error as BuildError {
      throw error
    } catch {
      throw BuildError("\(layout): \(error)")
    }
  }

  private static func blob<Value: Decodable>(_ layout: String, _ digest: String) throws -> Value {
    let path = layout + "/blobs/" + digest.replacing(":", with: "/")
    return try JSONDecoder().decode(Value.self, from: Data(try SmallFile.read(path)))
  }
}
