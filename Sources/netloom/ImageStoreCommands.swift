import ArgumentParser
import Images
import Lab
import NetTypes
import NorthboundAPI
import NorthboundClient

struct ImagePullCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pull",
    abstract: "Get an image of a registry to this machine, verified and unpacked.",
    discussion: """
      EXAMPLES:
        netloom image pull registry:5000/web:v1 --node h1
        netloom image pull registry:5000/web@sha256:4f2a... --node h1 -o json

      A digest that is here already is not fetched again. A name without a registry must be here.
      Exit codes: 0 it is here; 1 no such image, no answer, another digest than asked for; 3 skopeo or umoci is missing.
      """)

  @Argument(help: ArgumentHelp("The image.", valueName: "registry:port/name:tag"))
  var image: String

  @OptionGroup var place: ImagePlace

  @Flag(name: .customLong("await"), help: "Go on trying also while the registry does not have it.")
  var awaits = false

  @OptionGroup var common: CommonOptions

  func run() throws {
    let tools = try place.tools(common)
    let entry = try withImages { (store) throws(ImageError) in
      let reference = try ImageReference(image)
      guard let registry = reference.registry else {
        guard let image = try store.image(reference) else {
          throw ImageError(
            .notFound, "\(reference) is not in the image store (\(store.root)), and names no registry to get it from")
        }
        return ImageEntry(image, store)
      }
      let source = Registry(registry, store: store, tools: tools)
      let image = try source.pull(reference, within: place.within.duration.inSeconds, awaits: awaits)
      return ImageEntry(image, store)
    }
    if common.json { try Output.json(entry) } else { Output.line(entry.digest) }
  }
}

struct ImageImportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Take an image from a file: an OCI layout, an OCI archive, or what docker save has written.",
    discussion: """
      EXAMPLES:
        netloom image import web.tar web:v1
        netloom image import layout/ web:v1
      """)

  @Argument(help: "The archive, or the directory of a layout.")
  var path: String

  @Argument(help: ArgumentHelp("NAME:TAG in the store.", valueName: "name:tag"))
  var tag: String?

  @Flag(help: "Let the tag stand for the new content.")
  var replace = false

  @OptionGroup var common: CommonOptions

  func run() throws {
    let entry = try withImages { (store) throws(ImageError) in
      ImageEntry(try store.import(path, tag: tag, replacing: replace), store)
    }
    if common.json { try Output.json(entry) } else { Output.line(entry.digest) }
  }
}

struct ImageExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write an image into a file, an OCI archive; import, skopeo and podman read it.",
    discussion: """
      EXAMPLES:
        netloom image export web:v1 web.tar
      """)

  @Argument(help: ArgumentHelp("NAME:TAG in the store.", valueName: "name:tag"))
  var tag: String

  @Argument(help: "The file; one that is there is replaced.")
  var path: String

  @OptionGroup var common: CommonOptions

  func run() throws {
    let entry = try withImages { (store) throws(ImageError) in
      try store.export(tag, to: path)
      return try store.image(ImageReference(tag)).map { ImageEntry($0, store) }
    }
    guard let entry else { return }
    if common.json { try Output.json(entry) } else { Output.line(entry.digest) }
  }
}

struct ImageRemoveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rm",
    abstract: "Take a tag away, and the image with its last one; by a digest, the image with all its tags.",
    discussion: """
      EXAMPLES:
        netloom image rm web:v1

      Exit codes: 0 gone; 1 it is not there; 3 a running lab uses it.
      """,
    aliases: ["remove"])

  @Argument(help: ArgumentHelp("The images.", valueName: "image"))
  var images: [String]

  @OptionGroup var common: CommonOptions

  func run() throws {
    try withImages { (store) throws(ImageError) in
      for image in images { try store.remove(try ImageReference(image)) }
    }
  }
}

struct ImagePruneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prune",
    abstract: "Remove the images that no tag stands for and no lab runs.",
    discussion: """
      EXAMPLES:
        netloom image prune
      """)

  @OptionGroup var common: CommonOptions

  func run() throws {
    let gone = try withImages { (store) throws(ImageError) in try store.prune().map { ImageEntry($0, store) } }
    if common.json { return try Output.json(gone) }
    for entry in gone { Output.line(entry.digest) }
  }
}

struct ImageSetCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "set",
    abstract: "Let a running node run another image; returns when it is ready, or when the old one runs again.",
    discussion: """
      EXAMPLES:
        netloom image set web-1 registry:5000/web@sha256:4f2a...
        netloom image set web-1 web:v2 --within 10s --env LEVEL=debug

      The image is fetched over the node's own network, then the node gets no new requests of the mesh, its program is
      ended (SIGTERM, SIGKILL 5 s later), and the new one started. It is ready when its port answers (ready: in the
      file, or the target of its service). Otherwise the old image is started again.
      Exit codes: 0 it runs the image; 1 it does not, and why; 2 a bad name.
      """)

  @Argument(help: "The node, or LAB/NODE.")
  var node: String

  @Argument(help: ArgumentHelp("The image.", valueName: "image"))
  var image: String

  @Option(help: ArgumentHelp("Time for the whole change.", valueName: "time"))
  var within = TimeArgument(.seconds(30))

  @Option(
    name: .customLong("env"), parsing: .singleValue,
    help: ArgumentHelp("In place of the node's environment; may be repeated.", valueName: "name=value"))
  var environment: [String] = []

  @OptionGroup var common: CommonOptions

  func validate() throws { _ = try parsed() }

  private func parsed() throws -> [String: String]? {
    var result: [String: String] = [:]
    for word in environment {
      guard let equals = word.firstIndex(of: "="), equals != word.startIndex else {
        throw ValidationError("\(word): expected NAME=VALUE")
      }
      result[String(word[..<equals])] = String(word[word.index(after: equals)...])
    }
    return environment.isEmpty ? nil : result
  }

  func run() async throws {
    let (lab, name) = try common.find(node)
    let request = ImageRequest(image: image, env: try parsed(), within: within.duration.inSeconds)
    let reply = try await lab.naming { try await $0.setImage(request, of: name) }
    if common.json { return try Output.json(reply) }
    Output.line("\(reply.node) runs \(reply.image), ready after \(spoken(seconds: reply.readyMs / 1000))")
    Output.line("digest \(reply.digest)" + (reply.previous.map { ", before \($0)" } ?? ""))
  }
}
