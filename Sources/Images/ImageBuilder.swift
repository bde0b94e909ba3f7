internal import EventLoop
internal import Glibc
public import NetTypes

/// Makes images of files, by umoci. The same files, entrypoint, labels and so on give the same digest, whoever builds
/// them and when: owners are 0:0, times are 1970, and every list has an order.
public struct ImageBuilder: Sendable {
  private let store: ImageStore
  private static let epoch = "1970-01-01T00:00:00Z"

  public init(_ store: ImageStore) { self.store = store }

  /// - Parameters:
  ///   - files: a file or a directory of this machine → its absolute path in the image. Modes and links are kept.
  ///   - entrypoint: the program and its first arguments; `command`: the further ones, which a topology's `cmd` replaces.
  ///   - base: an image of the store to build on; nil: an empty one.
  ///   - tag: NAME:TAG in the store. `conflict` where it stands for other content, unless `replacing`.
  public func build(
    files: [(source: String, destination: String)], entrypoint: [String], command: [String] = [],
    labels: [String: String] = [:], environment: [String: String] = [:], base: ImageReference? = nil, tag: String,
    replacing: Bool = false
  ) throws(ImageError) -> ImageDigest {
    let reference = try ImageReference(tag)
    guard reference.digest == nil, let name = reference.tagged else {
      throw ImageError(.usage, "`\(tag)`: an image that is built gets NAME:TAG, its digest follows from what is in it")
    }
    try check(files)
    let pending = try PendingImage(store)
    try begin(pending, from: base)
    let bundle = pending.directory + "/work"
    try ToolRunner.here.need(
      ["umoci", "unpack"] + PendingImage.rootlessOptions() + ["--image", pending.image, bundle])
    for file in files { try copy(file, into: ImageRoot(path: bundle + "/rootfs")) }
    try ToolRunner.here.need([
      "umoci", "repack", "--history.created", Self.epoch, "--history.created_by", "netloom image build", "--image",
      pending.image, bundle,
    ])
    Folder.remove(bundle)
    try ToolRunner.here.need(
      ["umoci", "config", "--image", pending.image, "--created", Self.epoch, "--history.created", Self.epoch]
        + Self.settings(entrypoint, command, labels, environment))
    try ToolRunner.here.need(["umoci", "gc", "--layout", pending.layout])
    let (digest, _) = try pending.manifest()
    if try store.image(ImageReference(registry: nil, name: "", tag: nil, digest: digest)) == nil {
      _ = try pending.store()
    }
    try store.name(digest, name, replacing: replacing)
    return digest
  }

  private static func settings(
    _ entrypoint: [String], _ command: [String], _ labels: [String: String], _ environment: [String: String]
  ) -> [String] {
    let ordered = { (values: [String: String]) in values.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } }
    return entrypoint.flatMap { ["--config.entrypoint", $0] } + command.flatMap { ["--config.cmd", $0] }
      + ordered(labels).flatMap { ["--config.label", $0] } + ordered(environment).flatMap { ["--config.env", $0] }
  }

  private func check(_ files: [(source: String, destination: String)]) throws(ImageError) {
    for (source, destination) in files {
      guard access(source, R_OK) == 0 else {
        throw ImageError(.usage, "\(source): \(SystemError.last("access").text)")
      }
      let parts = destination.split(separator: "/", omittingEmptySubsequences: false)
      guard destination.hasPrefix("/"), !parts.contains("..") else {
        throw ImageError(.usage, "`\(destination)`: expected an absolute path in the image")
      }
    }
  }

  private func begin(_ pending: borrowing PendingImage, from base: ImageReference?) throws(ImageError) {
    guard let base else {
      try ToolRunner.here.need(["umoci", "init", "--layout", pending.layout])
      return try ToolRunner.here.need(["umoci", "new", "--image", pending.image])
    }
    guard let image = try store.image(base) else {
      throw ImageError(.notFound, "\(base) is not in the image store (\(store.root))")
    }
    try ToolRunner.here.need(["cp", "-R", image.layout, pending.layout])
  }

  /// Copies, and makes everything that changed look the same every time.
  private func copy(_ file: (source: String, destination: String), into root: ImageRoot) throws(ImageError) {
    let isFolder = Self.isFolder(file.source)
    let target = try root.place(of: file.destination, isFolder: isFolder)
    if isFolder {
      try copyFolder(file.source, to: file.destination, in: root)
    } else {
      // A link of the base is replaced, and what it leads to stays what it is.
      try ToolRunner.here.need(["cp", "-L", "--remove-destination", "--preserve=mode", "-T", file.source, target])
    }
    try onMachine { () throws(SystemError) in
      try Self.settle(target)
      var above = target
      while above.count > root.path.count, let slash = above.lastIndex(of: "/") {
        above = String(above[..<slash])
        try Self.setTime(above)
      }
    }
  }

  /// Folder by folder: each has its own place where the base has links. cp(1) alone would write through them.
  private func copyFolder(_ source: String, to destination: String, in root: ImageRoot) throws(ImageError) {
    let target = try root.place(of: destination, isFolder: true)
    let names = Folder.entries(of: source).sorted()
    let (folders, files) = (
      names.filter { Self.isFolder(source + "/" + $0, following: false) },
      names.filter { !Self.isFolder(source + "/" + $0, following: false) }
    )
    for start in stride(from: 0, to: files.count, by: 200) {
      let some = files[start..<min(start + 200, files.count)].map { source + "/" + $0 }
      try ToolRunner.here.need(["cp", "-RP", "--remove-destination", "--preserve=mode", "-t", target, "--"] + some)
    }
    for name in folders { try copyFolder(source + "/" + name, to: destination + "/" + name, in: root) }
    try onMachine { () throws(SystemError) in
      var status = stat()
      try systemCall("stat", source) { stat(source, &status) }
      try systemCall("chmod", target) { chmod(target, status.st_mode & 0o7777) }
    }
  }

  private static func isFolder(_ path: String, following: Bool = true) -> Bool {
    var status = stat()
    return (following ? stat(path, &status) : lstat(path, &status)) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// The time of everything below, the deepest first.
  private static func settle(_ path: String) throws(SystemError) {
    var status = stat()
    try systemCall("lstat", path) { lstat(path, &status) }
    if status.st_mode & S_IFMT == S_IFDIR {
      for name in Folder.entries(of: path) { try settle(path + "/" + name) }
    }
    try setTime(path)
  }

  private static func setTime(_ path: String) throws(SystemError) {
    let times = [timespec(tv_sec: 0, tv_nsec: 0), timespec(tv_sec: 0, tv_nsec: 0)]
    try systemCall("utimensat", path) { utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) }
  }
}
