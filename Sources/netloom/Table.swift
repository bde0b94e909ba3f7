/// Columns aligned by spaces, headings in capitals: readable for people, cuttable by `awk`.
struct Table {
  enum Alignment { case left, right }

  private let headings: [String]
  private let alignments: [Alignment]
  private var rows: [[String]] = []
  /// Colours a whole cell after its width was taken.
  var paint: ((_ row: Int, _ column: Int, _ text: String) -> String)?

  /// `"NAME"` is aligned to the left, `">COUNT"` to the right.
  init(_ headings: String...) {
    self.headings = headings.map { $0.hasPrefix(">") ? String($0.dropFirst()) : $0 }
    alignments = headings.map { $0.hasPrefix(">") ? .right : .left }
  }

  var isEmpty: Bool { rows.isEmpty }

  /// An empty cell shows as `-`.
  mutating func add(_ cells: String?...) {
    rows.append(
      cells.map { cell in
        guard let cell, !cell.isEmpty else { return "-" }
        return cell
      })
  }

  func lines(indent: String = "", palette: Palette) -> [String] {
    let widths = headings.indices.map { column in
      ([headings[column]] + rows.map { $0[column] }).map(\.count).max() ?? 0
    }
    let heading = palette.dim(line(headings, widths) { _, text in text })
    let body = rows.enumerated().map { index, row in
      line(row, widths) { column, text in paint?(index, column, text) ?? text }
    }
    return ([heading] + body).map { indent + $0 }
  }

  private func line(_ cells: [String], _ widths: [Int], _ paint: (Int, String) -> String) -> String {
    var parts: [String] = []
    for (column, cell) in cells.enumerated() {
      let padding = String(repeating: " ", count: widths[column] - cell.count)
      let painted = paint(column, cell)
      if alignments[column] == .right {
        parts.append(padding + painted)
      } else {
        parts.append(column == cells.count - 1 ? painted : painted + padding)
      }
    }
    return parts.joined(separator: "  ")
  }
}
