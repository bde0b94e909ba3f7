// Passive health: endpoints that answer with errors one after the other are left out for a while, longer each time.
// One value per cluster; time is an argument, in nanoseconds.

struct OutlierDetector {
  /// How an attempt ended.
  enum Outcome {
    case success, serverError, gatewayError, connectFailure

    init(status: Int) {
      switch status {
      case 502...504: self = .gatewayError
      case 500...599: self = .serverError
      default: self = .success
      }
    }
  }

  struct Record {
    var errors = 0
    var gatewayErrors = 0
    var ejections: UInt64 = 0
    var ejectedUntil: UInt64 = 0
  }

  let rules: OutlierDetection

  /// Takes an attempt's end into account. One may be ejected whatever the percentage (as Envoy's
  /// `max_ejection_percent` has it), but never the last that there is.
  /// - Parameters:
  ///   - ejected: how many of the cluster's endpoints are ejected now, this one left out.
  /// - Returns: whether it is ejected from now on.
  func note(_ outcome: Outcome, _ record: inout Record, ejected: Int, endpoints: Int, now: UInt64) -> Bool {
    guard outcome != .success else {
      record.errors = 0
      record.gatewayErrors = 0
      // An endpoint that has long been well starts again with the shortest ejection.
      if record.ejections > 0, now > record.ejectedUntil, now - record.ejectedUntil > rules.maximumEjection * 1_000_000
      {
        record.ejections = 0
      }
      return false
    }
    record.errors += 1
    if outcome != .serverError { record.gatewayErrors += 1 } else { record.gatewayErrors = 0 }
    let over =
      record.errors >= rules.consecutiveErrors
      || rules.consecutiveGatewayErrors.map { record.gatewayErrors >= $0 } ?? false
    guard over, record.ejectedUntil <= now else { return false }
    guard ejected + 1 < endpoints, ejected == 0 || (ejected + 1) * 100 <= rules.maximumPercent * endpoints else {
      return false
    }
    record.errors = 0
    record.gatewayErrors = 0
    record.ejections += 1
    let time = min(
      rules.baseEjection.multipliedReportingOverflow(by: record.ejections).partialValue, rules.maximumEjection)
    record.ejectedUntil = now + time * 1_000_000
    return true
  }
}
