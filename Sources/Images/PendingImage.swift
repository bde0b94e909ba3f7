internal import EventLoop
internal import FoundationEssentials
internal import Glibc
internal import NetTypes

/// An image that is being put together in the store: a layout that skopeo or umoci fills, and what becomes of it.
struct PendingImage: ~Copyable {
  private let store: ImageStore
  let directory: String
  private let lock: StoreLock

  var layout: String { directory + "/layout" }
  /// The image in the layout, as umoci takes it.
  var image: String { layout + ":image" }

  init(_ store: ImageStore) throws(ImageError) {
    try store.prepare()
    var path = Array("\(store.root)/pending/\(String(repeating: "X", count: 6))".utf8CString)
    guard mkdtemp(&path) != nil else {
      throw ImageError(.environment, "the image store: \(SystemError.last("mkdtemp", store.root))")
    }
    let made = String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // Nobody else knows the directory yet but `prune`, which may just be looking at it.
    let lock = try StoreLock.take(made + "/lock", .exclusive, until: EventLoop.clock() + 1_000_000_000)
    self.store = store
    directory = made
    self.lock = lock
  }

  deinit { Folder.remove(directory) }

  /// umoci's options where it may not change owners: without root, also in a user namespace of one's own.
  static func rootlessOptions() -> [String] {
    let map = (try? SmallFile.text("/proc/self/uid_map")) ?? ""
    let isWhole = map.split(separator: " ", omittingEmptySubsequences: true).prefix(3).joined(separator: " ")
      .hasPrefix("0 0 4294967295")
    return geteuid() == 0 && isWhole ? [] : ["--rootless"]
  }

  /// Digest of the image's manifest in the layout, and the size of its layers.
  borrowing func manifest() throws(ImageError) -> (digest: ImageDigest, size: UInt64) {
    let layout = layout
    let found = try onMachine { () throws(SystemError) -> (ImageDigest, UInt64)? in
      let index = try? JSONDecoder().decode(
        OCIDocument.Index.self, from: Data(try SmallFile.read(layout + "/index.json")))
      let named = index?.manifests.filter { $0.annotations?[OCIDocument.nameAnnotation] == "image" }
      guard let digest = named?.first.flatMap({ ImageDigest($0.digest) }) else { return nil }
      let manifest = try? JSONDecoder().decode(
        OCIDocument.Manifest.self, from: Data(try SmallFile.read("\(layout)/blobs/sha256/\(digest.hex)")))
      guard let manifest else { return nil }
      return (digest, manifest.layers.reduce(0) { $0 + $1.size })
    }
    guard let found else { throw ImageError(.environment, "\(layout): not an OCI layout with one image") }
    return found
  }

  /// Unpacks it and gives it its place in the store; one that is there already stays.
  /// - Parameter known: what a registry calls it, where that differs from the manifest here (another format).
  consuming func store(as known: ImageDigest? = nil) throws(ImageError) -> StoredImage {
    let (own, size) = try manifest()
    let digest = known ?? own
    let unpack = ["umoci", "unpack"] + Self.rootlessOptions() + ["--image", image, directory + "/bundle"]
    try ToolRunner.here.need(unpack)
    let record = ImageRecord(digest: digest.description, size: size)
    guard let data = try? JSONEncoder().encode(record) else {
      throw ImageError(.environment, "a record cannot be encoded")
    }
    let (directory, place) = (directory, store.directory(of: digest))
    try onMachine { () throws(SystemError) in
      try SmallFile.write(directory + "/image.json", data)
      _ = unlink(directory + "/lock")
      if rename(directory, place) != 0 {
        let error = SystemError.last("rename", place)
        if error.code != ENOTEMPTY, error.code != EEXIST { throw error }
      }
    }
    guard let image = store.stored(digest, try store.names()) else {
      throw ImageError(.environment, "\(place) is not whole; remove it and try again")
    }
    return image
  }
}
