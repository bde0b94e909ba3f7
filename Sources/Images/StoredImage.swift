internal import FoundationEssentials
public import NetTypes

/// An image in the machine's store, whole: verified and unpacked.
public struct StoredImage: Sendable, Equatable {
  /// What it is known by: of the manifest as the registry has it.
  public let digest: ImageDigest
  /// `[REGISTRY/]NAME:TAG`, sorted.
  public let names: [String]
  /// Of the layers as they are packed, in bytes.
  public let size: UInt64
  /// An OCI layout (OCI image specification, "Image Layout"); the image has the name `image` there.
  public let layout: String
  /// umoci's runtime bundle: `rootfs/`, which all share and nobody writes to, and `config.json`.
  public let bundle: String
}

/// `image.json` beside the layout.
struct ImageRecord: Codable {
  var digest: String
  var size: UInt64
}

/// The few members of OCI's documents that are read here.
enum OCIDocument {
  /// `index.json` of a layout.
  struct Index: Decodable {
    var manifests: [Descriptor]
  }

  struct Descriptor: Decodable {
    var digest: String
    var size: UInt64
    var annotations: [String: String]?
  }

  struct Manifest: Decodable {
    var config: Descriptor
    var layers: [Descriptor]
  }

  static let nameAnnotation = "org.opencontainers.image.ref.name"
}
