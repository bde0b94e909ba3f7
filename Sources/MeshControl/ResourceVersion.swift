/// What stands in `version_info`: the generation of the model, and a digest of what the client is to have of the type. A
/// client that tells a restarted control plane what it had is understood by the digest, and not sent it again.
struct ResourceVersion: Equatable, CustomStringConvertible {
  let generation: UInt64
  /// FNV-1a over names and digests of the resources in order of name.
  let digest: UInt64

  init(generation: UInt64, _ resources: [String: Resource]) {
    self.generation = generation
    var digest = Digest()
    for resource in resources.values.sorted(by: { $0.name < $1.name }) {
      digest.add(resource.name.utf8)
      digest.add(resource.digest)
    }
    self.digest = digest.value
  }

  /// `12.9c41f07a33b0e1d5`
  var description: String { "\(generation).\(String(digest, radix: 16))" }

  /// Whether a version, of whatever generation, is one of the same resources.
  func hasContent(of version: String) -> Bool {
    version.split(separator: ".", omittingEmptySubsequences: false).last.map(String.init) == String(digest, radix: 16)
      && version.contains(".")
  }

  /// The generation in a version that a client says it has; nil: none of ours.
  static func generation(of version: String) -> UInt64? {
    guard let dot = version.firstIndex(of: ".") else { return nil }
    return UInt64(version[..<dot]).flatMap { $0 < 1 << 48 ? $0 : nil }
  }

  struct Digest {
    private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ bytes: some Sequence<UInt8>) {
      for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }

    mutating func add(_ number: UInt64) {
      for shift in stride(from: 0, to: 64, by: 8) { add(CollectionOfOne(UInt8(truncatingIfNeeded: number >> shift))) }
    }
  }
}
