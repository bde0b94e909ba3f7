/// Why a desired state, or the file of a standalone speaker, is not taken. Nothing of it was applied.
public struct Refusal: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is at fault: `neighbor isp1`, `policy own-only`, `route 10.0.0.0/8`; empty: the whole.
  public var offender: String
  public var reason: String
  /// Where the user wrote it (FILE:LINE:COL); empty where that is not known.
  public var place: String

  public init(_ offender: String, _ reason: String, place: String = "") {
    self.offender = offender
    self.reason = reason
    self.place = place
  }

  public var description: String { offender.isEmpty ? reason : "\(offender): \(reason)" }
}
