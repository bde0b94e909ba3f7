// What is said of a resource that is not taken: where in it, and why. The control plane shows it to people, so places
// are written as the published protos name them.
import SwiftProtobuf
import XDS

struct ResourceError: Error, Equatable, CustomStringConvertible {
  /// `filter_chains[0].filters[1].typed_config`; empty: the resource as a whole.
  var path: String
  var reason: String

  init(_ path: String, _ reason: String) {
    self.path = path
    self.reason = reason
  }

  var description: String { path.isEmpty ? reason : "\(path): \(reason)" }
}

/// Values inside resources that more than one reader needs.
enum ResourceValue {
  /// The longest time that a sidecar takes, milliseconds: a day.
  private static let longest: Int64 = 86_400_000

  /// Decodes the message of an `Any` and looks for fields in it that are not known here.
  static func unpack<Body: Message>(_ any: Google_Protobuf_Any, _ path: String) throws(ResourceError) -> Body {
    guard any.isA(Body.self) else {
      throw ResourceError(path, "\(typeName(any)) is not supported; wanted is \(Body.protoMessageName)")
    }
    let body: Body
    do {
      body = try Body(serializedBytes: any.value)
    } catch {
      throw ResourceError(path, "is no \(Body.protoMessageName)")
    }
    try FieldCheck.check(body, path)
    return body
  }

  /// The name of the message in an `Any`, short enough to be repeated.
  static func typeName(_ any: Google_Protobuf_Any) -> String {
    let name = any.typeURL.split(separator: "/").last.map { String($0.prefix(200)) } ?? ""
    return name.isEmpty ? "nothing" : name
  }

  static func milliseconds(_ duration: Google_Protobuf_Duration, _ path: String) throws(ResourceError) -> UInt64 {
    guard duration.seconds >= 0, duration.nanos >= 0, duration.nanos < 1_000_000_000,
      duration.seconds <= longest / 1000
    else { throw ResourceError(path, "must be between nothing and a day") }
    let whole = duration.seconds * 1000 + Int64(duration.nanos / 1_000_000)
    // Less than a millisecond is not nothing.
    return UInt64(whole == 0 && duration.nanos > 0 ? 1 : whole)
  }

  /// Of a hundred.
  static func percent(_ percent: EnvoyFractionalPercent, _ path: String) throws(ResourceError) -> Double {
    let whole: Double =
      switch percent.denominator {
      case .hundred: 100
      case .tenThousand: 10_000
      case .million: 1_000_000
      case .UNRECOGNIZED(let number): throw ResourceError("\(path).denominator", "\(number) is not known")
      }
    return min(Double(percent.numerator) * 100 / whole, 100)
  }

  static func port(_ number: UInt32, _ path: String) throws(ResourceError) -> UInt16 {
    guard let port = UInt16(exactly: number), port > 0 else { throw ResourceError(path, "\(number) is no port") }
    return port
  }

  static func weight(_ number: UInt32, _ path: String) throws(ResourceError) -> Int {
    guard number <= 1_000_000 else { throw ResourceError(path, "is more than a million") }
    return Int(number)
  }

  /// Not empty, and short enough to be used in logs and metrics.
  static func name(_ text: String, _ path: String) throws(ResourceError) -> String {
    guard !text.isEmpty else { throw ResourceError(path, "is empty") }
    guard text.utf8.count <= 512 else { throw ResourceError(path, "is longer than 512 bytes") }
    return text
  }
}
