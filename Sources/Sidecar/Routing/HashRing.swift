/// A ring of points (Karger et al., "Consistent Hashing and Random Trees", 1997): a request belongs to the next point
/// behind its hash, so that an endpoint that comes or goes moves only its own share.
struct HashRing {
  private var points: [(hash: UInt64, endpoint: Int)] = []
  private static let pointsPerWeight = 64
  private static let mostPoints = 8192

  init(_ endpoints: [Endpoint]) {
    let total = endpoints.reduce(0) { $0 + max(0, $1.weight) }
    guard total > 0 else { return }
    let scale = min(Double(HashRing.pointsPerWeight), Double(HashRing.mostPoints) / Double(total))
    for (index, endpoint) in endpoints.enumerated() where endpoint.weight > 0 {
      let count = max(1, Int(Double(endpoint.weight) * scale))
      for point in 0..<count { points.append((HashRing.hash("\(endpoint.address)_\(point)".utf8), index)) }
    }
    points.sort { $0.hash < $1.hash }
  }

  /// The endpoint of the first point at or behind the hash whose endpoint may be used.
  func owner(of hash: UInt64, where isUsable: (Int) -> Bool) -> Int? {
    var low = 0
    var high = points.count
    while low < high {
      let middle = (low + high) / 2
      if points[middle].hash < hash { low = middle + 1 } else { high = middle }
    }
    for offset in points.indices {
      let endpoint = points[(low + offset) % points.count].endpoint
      if isUsable(endpoint) { return endpoint }
    }
    return nil
  }

  /// FNV-1a, 64 bits, with a final mix: the same on every sidecar and at every start.
  static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
    var value: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
    value = (value ^ value >> 33) &* 0xFF51_AFD7_ED55_8CCD
    return value ^ value >> 33
  }
}
