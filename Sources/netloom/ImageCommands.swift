import ArgumentParser
import Images
import Lab
import NetTypes
import NorthboundAPI
import NorthboundClient

struct ImageCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "image",
    abstract: "Images: those of this machine, to and from a registry, and what a node runs.",
    discussion: """
      The image store of this machine is shared by all its labs: /var/lib/netloom/images as root, otherwise
      $XDG_DATA_HOME/netloom/images; NETLOOM_IMAGES names another directory.
      """,
    subcommands: [
      ImageListCommand.self, ImageBuildCommand.self, ImagePushCommand.self, ImagePullCommand.self,
      ImageImportCommand.self, ImageExportCommand.self, ImageRemoveCommand.self, ImagePruneCommand.self,
      ImageSetCommand.self,
    ])
}

/// An image of the store as JSON.
struct ImageEntry: Encodable {
  let digest: String
  let names: [String]
  let size: UInt64
  let layout: String
  let bundle: String
  let store: String

  init(_ image: StoredImage, _ store: ImageStore) {
    digest = image.digest.description
    (names, size, layout, bundle) = (image.names, image.size, image.layout, image.bundle)
    self.store = store.root
  }
}

extension LabError {
  init(_ error: ImageError) {
    let kind: Kind =
      switch error.kind {
      case .usage: .usage
      case .environment: .environment
      case .notFound, .conflict, .mismatch, .unreachable: .didNotHold
      }
    self.init(kind, error.message)
  }
}

/// Runs what may fail with images, and says it as the other commands do.
func withImages<Result>(_ body: (ImageStore) throws(ImageError) -> Result) throws -> Result {
  do throws(ImageError) {
    return try body(try ImageStore.ofThisMachine())
  } catch {
    throw LabError(error)
  }
}

struct ImageListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "The images of this machine.",
    discussion: """
      EXAMPLES:
        netloom image list
        netloom image list -o json | jq -r '.[] | .digest'
      """,
    aliases: ["ls"])

  @OptionGroup var common: CommonOptions

  func run() throws {
    let entries = try withImages { (store) throws(ImageError) in try store.images().map { ImageEntry($0, store) } }
    if common.json { return try Output.json(entries) }
    guard !entries.isEmpty else { return Output.line("no image is in the store; make one with: netloom image build") }
    var table = Table("NAME", "DIGEST", ">SIZE")
    for entry in entries {
      for name in entry.names.isEmpty ? [""] : entry.names { table.add(name, entry.digest, size(entry.size)) }
    }
    for line in table.lines(palette: Palette(color: common.appearance.color)) { Output.line(line) }
  }

  private func size(_ bytes: UInt64) -> String {
    bytes < 1 << 20 ? "\(fixed(Double(bytes) / 1024, 1)) kB" : "\(fixed(Double(bytes) / 1_048_576, 1)) MB"
  }
}

struct ImageBuildCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "build",
    abstract: "Make an image of files. The same content gives the same digest, whenever and by whom it is built.",
    discussion: """
      EXAMPLES:
        netloom image build web:v1 --file bin/web:/web --entrypoint /web
        netloom image build web:v2 --file site:/srv/www --base web:v1 --label org.opencontainers.image.revision=4f2a

      Prints the digest. A tag that stands for other content is refused, unless --replace.
      Exit codes: 0 built; 1 the tag is taken, the base is not there; 2 a bad name or file; 3 umoci is missing.
      """)

  @Argument(help: ArgumentHelp("NAME:TAG in the store.", valueName: "name:tag"))
  var tag: String

  @Option(
    name: .customLong("file"), parsing: .singleValue,
    help: ArgumentHelp("A file or directory, and its place in the image; may be repeated.", valueName: "source:/place"))
  var files: [String] = []

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("The program, then its first arguments; may be repeated.", valueName: "word"))
  var entrypoint: [String] = []

  @Option(
    name: .customLong("cmd"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp("Further arguments, which a topology's cmd replaces; may be repeated.", valueName: "word"))
  var command: [String] = []

  @Option(
    name: .customLong("env"), parsing: .singleValue,
    help: ArgumentHelp("Environment; may be repeated.", valueName: "name=value"))
  var environment: [String] = []

  @Option(
    name: .customLong("label"), parsing: .singleValue,
    help: ArgumentHelp("A label; may be repeated.", valueName: "name=value"))
  var labels: [String] = []

  @Option(help: ArgumentHelp("An image of the store to build on; without it, an empty one.", valueName: "image"))
  var base: String?

  @Flag(help: "Let the tag stand for the new content.")
  var replace = false

  @OptionGroup var common: CommonOptions

  func validate() throws { _ = try (parsedFiles(), pairs(environment), pairs(labels)) }

  private func parsedFiles() throws -> [(source: String, destination: String)] {
    try files.map { text in
      guard let colon = text.lastIndex(of: ":"), colon != text.startIndex,
        text[text.index(after: colon)...].hasPrefix("/")
      else { throw ValidationError("\(text): expected SOURCE:/PLACE, such as bin/web:/web") }
      return (String(text[..<colon]), String(text[text.index(after: colon)...]))
    }
  }

  private func pairs(_ words: [String]) throws -> [String: String] {
    var result: [String: String] = [:]
    for word in words {
      guard let equals = word.firstIndex(of: "="), equals != word.startIndex else {
        throw ValidationError("\(word): expected NAME=VALUE")
      }
      result[String(word[..<equals])] = String(word[word.index(after: equals)...])
    }
    return result
  }

  func run() throws {
    let (files, labels, environment) = try (parsedFiles(), pairs(labels), pairs(environment))
    let digest = try withImages { (store) throws(ImageError) in
      let base = try base.map { (text) throws(ImageError) in try ImageReference(text) }
      return try ImageBuilder(store).build(
        files: files, entrypoint: entrypoint, command: command, labels: labels, environment: environment, base: base,
        tag: tag, replacing: replace)
    }
    try say(digest, common)
  }
}

/// The digest alone, for scripts.
private func say(_ digest: ImageDigest, _ common: CommonOptions) throws {
  if common.json { return try Output.json(["digest": digest.description]) }
  Output.line(digest.description)
}

struct ImagePushCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "push",
    abstract: "Push an image of this machine to a registry, and read back that it is the same there.",
    discussion: """
      EXAMPLES:
        netloom image push web:v1 registry:5000 --node registry     over the lab's network, from that node
        netloom image push web:v1 127.0.0.1:5000                    from here, to a port that a node publishes

      Prints the digest. Exit codes: 0 it is there; 1 the tag stands for other content, no answer, another digest.
      """)

  @Argument(help: ArgumentHelp("NAME:TAG of the store.", valueName: "name:tag"))
  var image: String

  @Argument(help: ArgumentHelp("The registry.", valueName: "host:port"))
  var registry: String

  @OptionGroup var place: ImagePlace

  @Flag(help: "Let the tag stand for the new content.")
  var replace = false

  @OptionGroup var common: CommonOptions

  func run() throws {
    let tools = try place.tools(common)
    let digest = try withImages { (store) throws(ImageError) in
      let reference = try ImageReference(image)
      guard let tag = reference.tag, reference.digest == nil, reference.registry == nil else {
        throw ImageError(.usage, "`\(image)`: expected NAME:TAG of the store")
      }
      return try Registry(registry, store: store, tools: tools).push(
        reference.name, tag: tag, replacing: replace, within: place.within.duration.inSeconds)
    }
    try say(digest, common)
  }
}

/// Where skopeo runs and how long it may try.
struct ImagePlace: ParsableArguments {
  @Option(help: ArgumentHelp("The node from which, or LAB/NODE; without it, from this machine.", valueName: "node"))
  var node: String?

  @Option(help: ArgumentHelp("How long to go on trying.", valueName: "time"))
  var within = TimeArgument(.seconds(60))

  func tools(_ common: CommonOptions) throws -> ToolRunner {
    guard let node else { return .here }
    let (lab, name) = try common.find(node)
    return .inNode(name, lab: lab.name)
  }
}
