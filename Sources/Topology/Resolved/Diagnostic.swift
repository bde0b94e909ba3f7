/// A place in a file a user wrote; lines and columns count from 1, columns in Unicode scalars.
public struct Place: Hashable, Sendable {
  public var file: String
  public var line: Int
  public var column: Int

  public init(file: String, line: Int, column: Int) {
    self.file = file
    self.line = line
    self.column = column
  }
}

extension Place: Comparable, CustomStringConvertible {
  public static func < (a: Place, b: Place) -> Bool {
    (a.file, a.line, a.column) < (b.file, b.line, b.column)
  }

  public var description: String { "\(file):\(line):\(column)" }
}

/// One thing wrong, or doubtful, in a file: what it is and what was expected, with its place.
public struct Diagnostic: Hashable, Sendable {
  public enum Severity: String, Hashable, Sendable { case error, warning }

  public var place: Place
  public var severity: Severity
  public var message: String

  public init(place: Place, severity: Severity, message: String) {
    self.place = place
    self.severity = severity
    self.message = message
  }
}

extension Diagnostic: CustomStringConvertible {
  /// `FILE:LINE:COL: error: what, and what was expected`
  public var description: String { "\(place): \(severity.rawValue): \(message)" }
}

/// What reading a file gave. `value` is nil exactly when one of the diagnostics is an error.
public struct Parsed<Value: Sendable>: Sendable {
  public var value: Value?
  /// Sorted by place.
  public var diagnostics: [Diagnostic]

  public init(value: Value?, diagnostics: [Diagnostic]) {
    self.value = value
    self.diagnostics = diagnostics
  }

  public var errors: [Diagnostic] { diagnostics.filter { $0.severity == .error } }
  public var warnings: [Diagnostic] { diagnostics.filter { $0.severity == .warning } }
}
