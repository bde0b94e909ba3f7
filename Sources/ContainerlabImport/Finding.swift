public import Topology

/// Something of a containerlab file that is not in the result as it was.
public struct Finding: Hashable, Sendable {
  public enum Kind: String, Hashable, Sendable {
    /// It is not there.
    case leftOut
    /// It is there, in other words or with another meaning.
    case changed
  }

  public var place: Place
  public var kind: Kind
  public var message: String
}

extension Finding: CustomStringConvertible {
  /// `FILE:LINE:COL: warning: left out: what, and why`
  public var description: String {
    switch kind {
    case .leftOut: "\(place): warning: left out: \(message)"
    case .changed: "\(place): note: \(message)"
    }
  }
}

/// Collects what is wrong and what could not be carried over. One belongs to one import, on one thread.
final class ImportLog {
  private var errors: Set<Diagnostic> = []
  private var findings: Set<Finding> = []

  var failed: Bool { !errors.isEmpty }

  func error(_ place: Place, _ message: String) {
    errors.insert(Diagnostic(place: place, severity: .error, message: message))
  }

  /// What is inherited by several nodes is said once.
  func leftOut(_ place: Place, _ message: String) {
    findings.insert(Finding(place: place, kind: .leftOut, message: message))
  }

  func changed(_ place: Place, _ message: String) {
    findings.insert(Finding(place: place, kind: .changed, message: message))
  }

  var sortedFindings: [Finding] {
    findings.sorted { ($0.place, $0.message, $0.kind.rawValue) < ($1.place, $1.message, $1.kind.rawValue) }
  }

  func failure<Value: Sendable>() -> Parsed<Value> {
    Parsed(value: nil, diagnostics: errors.sorted { ($0.place, $0.message) < ($1.place, $1.message) })
  }
}
