/// On paper: y grows downward.
public struct Point: Sendable, Equatable {
  public var x: Double
  public var y: Double

  public init(x: Double, y: Double) {
    self.x = x
    self.y = y
  }
}

/// Places the nodes of a graph so that distances on paper resemble distances in the graph (stress majorization,
/// Gansner, Koren and North 2004), then turns the picture so that providers are above their customers, or else so that
/// it is wider than high. The same graph always gives the same picture.
struct StressLayout {
  /// Above this the quadratic work is not worth it and nodes are set in rows.
  static let limit = 400
  private static let rounds = 120

  private(set) var points: [Point]
  private let ranks: [Double]

  /// `above`: pairs (lower, upper).
  init(count: Int, edges: [(Int, Int)], above: [(Int, Int)]) {
    ranks = Self.ranks(count, above)
    guard count <= Self.limit else {
      let columns = Int(Double(count).squareRoot().rounded(.up))
      points = (0..<count).map { Point(x: Double($0 % columns), y: Double($0 / columns)) }
      return
    }
    // Golden-ratio steps: spread out, never in one line, and the same every time.
    points = (0..<count).map { index in
      let (a, b) = (Double(index) * 0.618_033_988_7, Double(index) * 0.414_213_562_4)
      return Point(x: 4 * (a - a.rounded(.down)), y: 4 * (b - b.rounded(.down)))
    }
    let distances = Self.distances(count, edges)
    for _ in 0..<Self.rounds { relax(distances) }
    turn()
  }

  /// How far each node is above the bottom.
  private static func ranks(_ count: Int, _ above: [(Int, Int)]) -> [Double] {
    var ranks = [Double](repeating: 0, count: count)
    // Bounded, since relations may form a loop.
    for _ in 0..<8 {
      for (lower, upper) in above where ranks[upper] < ranks[lower] + 1 { ranks[upper] = ranks[lower] + 1 }
    }
    return ranks
  }

  /// Hops between every two nodes; what is not connected is set a little farther than the longest way.
  private static func distances(_ count: Int, _ edges: [(Int, Int)]) -> [[Double]] {
    var neighbors = [[Int]](repeating: [], count: count)
    for (a, b) in edges where a != b {
      neighbors[a].append(b)
      neighbors[b].append(a)
    }
    var longest = 1
    var hops = [[Int]](repeating: [], count: count)
    for start in 0..<count {
      var found = [Int](repeating: -1, count: count)
      found[start] = 0
      var queue = [start]
      var next = 0
      while next < queue.count {
        let node = queue[next]
        next += 1
        for neighbor in neighbors[node] where found[neighbor] < 0 {
          found[neighbor] = found[node] + 1
          queue.append(neighbor)
        }
      }
      longest = max(longest, found.max() ?? 1)
      hops[start] = found
    }
    return hops.map { row in row.map { $0 < 0 ? Double(longest + 1) : Double($0) } }
  }

  /// Moves every node to where the others, each at its distance, would have it on average.
  private mutating func relax(_ distances: [[Double]]) {
    for i in points.indices {
      var sum = Point(x: 0, y: 0)
      var weights = 0.0
      for j in points.indices where j != i {
        let (dx, dy) = (points[i].x - points[j].x, points[i].y - points[j].y)
        let length = max((dx * dx + dy * dy).squareRoot(), 1e-6)
        let wanted = distances[i][j]
        let weight = 1 / (wanted * wanted)
        sum.x += weight * (points[j].x + wanted * dx / length)
        sum.y += weight * (points[j].y + wanted * dy / length)
        weights += weight
      }
      if weights > 0 { points[i] = Point(x: sum.x / weights, y: sum.y / weights) }
    }
  }

  private mutating func turn() {
    let count = Double(max(points.count, 1))
    let center = Point(x: points.reduce(0) { $0 + $1.x } / count, y: points.reduce(0) { $0 + $1.y } / count)
    let mean = ranks.reduce(0, +) / count
    var up = Point(x: 0, y: 0)
    var (xx, yy, xy) = (0.0, 0.0, 0.0)
    for (point, rank) in zip(points, ranks) {
      let (x, y) = (point.x - center.x, point.y - center.y)
      up.x += (rank - mean) * x
      up.y += (rank - mean) * y
      xx += x * x
      yy += y * y
      xy += x * y
    }
    if (up.x * up.x + up.y * up.y).squareRoot() < 1e-9 { up = Self.minorAxis(xx, yy, xy) }
    let length = max((up.x * up.x + up.y * up.y).squareRoot(), 1e-9)
    let (ux, uy) = (up.x / length, up.y / length)
    // `up` becomes the upward direction of the paper, where y grows downward.
    points = points.map { point in
      let (x, y) = (point.x - center.x, point.y - center.y)
      return Point(x: -uy * x + ux * y, y: -(ux * x + uy * y))
    }
  }

  /// The direction in which the points spread least: the eigenvector of the smaller eigenvalue.
  private static func minorAxis(_ xx: Double, _ yy: Double, _ xy: Double) -> Point {
    if abs(xy) < 1e-9 { return xx >= yy ? Point(x: 0, y: 1) : Point(x: 1, y: 0) }
    let half = (xx - yy) / 2
    let smaller = (xx + yy) / 2 - (half * half + xy * xy).squareRoot()
    return Point(x: xy, y: smaller - xx)
  }

  /// Stretched so that boxes of that size stay apart, moved to begin at the margin.
  func placed(width: Double, height: Double, edge: Double, margin: Double) -> [Point] {
    var scale = edge
    for i in points.indices where points.count <= Self.limit {
      for j in points.indices where j > i {
        let (dx, dy) = (abs(points[i].x - points[j].x), abs(points[i].y - points[j].y))
        let needed = min(width / max(dx, 1e-3), height / max(dy, 1e-3))
        scale = max(scale, min(needed, 4 * edge))
      }
    }
    let left = points.map(\.x).min() ?? 0
    let top = points.map(\.y).min() ?? 0
    return points.map { Point(x: ($0.x - left) * scale + margin, y: ($0.y - top) * scale + margin) }
  }
}
