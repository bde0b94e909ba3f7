import Lab
import NorthboundAPI
import NorthboundClient

/// A command that has said everything already and only ends with a code.
struct Exit: Error {
  let code: Int32
}

/// Errors of the modules below as one line and an exit code.
enum Failure {
  /// Nil: not one of ours.
  static func report(_ error: any Error) -> Int32? {
    switch error {
    case let error as Exit:
      return error.code
    case let error as LabError:
      Output.error(error.message)
      return error.kind.rawValue
    case let error as Interrupted:
      Output.error(error.message)
      return 128 + error.signal
    case let error as APIError:
      // A file's mistakes stand for themselves, as those of `validate` do.
      if let diagnostics = error.diagnostics, !diagnostics.isEmpty {
        diagnostics.forEach(Output.note)
      } else {
        Output.error(error.message.split(separator: "\n").joined(separator: "; "))
      }
      return exitCode(of: error)
    case let error as ClientError:
      Output.error("\(error)")
      return 3
    case let error as NotConverged:
      let reasons = error.reasons.isEmpty ? "no reason is known" : error.reasons.prefix(5).joined(separator: "; ")
      Output.error(
        "lab \(error.lab.name) did not converge within \(error.timeout.components.seconds) s: \(reasons); "
          + "it stays: look with netloom status, take it down with netloom down")
      return 1
    default:
      return nil
    }
  }

  private static func exitCode(of error: APIError) -> Int32 {
    switch error.code {
    case "not-found", "invalid", "invalid-file": 2
    case "refused", "conflict", "timeout": 1
    default: 3
    }
  }
}

/// The name that was probably meant: the only one that begins like it, or one of which at most a third of the letters
/// differ (Levenshtein distance); nil: none is near.
func nearest(to name: String, in names: [String]) -> String? {
  let longer = names.filter { name.count > 1 && $0.hasPrefix(name) }
  if longer.count == 1 { return longer[0] }
  let ranked = names.map { (name: $0, distance: distance(name, $0)) }
  guard let best = ranked.min(by: { ($0.distance, $0.name) < ($1.distance, $1.name) }) else { return nil }
  return best.distance <= max(1, name.count / 3) ? best.name : nil
}

private func distance(_ a: String, _ b: String) -> Int {
  let (a, b) = (Array(a), Array(b))
  var row = Array(0...b.count)
  for i in a.indices {
    var diagonal = row[0]
    row[0] = i + 1
    for j in b.indices {
      let above = row[j + 1]
      row[j + 1] = a[i] == b[j] ? diagonal : 1 + min(diagonal, above, row[j])
      diagonal = above
    }
  }
  return row[b.count]
}
