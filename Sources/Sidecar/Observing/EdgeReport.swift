// What the control plane reads of a sidecar's counts: JSON, one object per edge, the clusters of a service added up.
//
//   {"started":NS,"at":NS,"limits":[SECONDS…],"edges":[{"direction","source","service","version","requests","failures",
//    "abandoned","codes":[six counts],"retries","ejections","refused":{REASON:n},"bytesToServer","bytesToClient",
//    "latency":[one count more than there are limits],"latencySum":SECONDS}…]}
import Glibc

enum EdgeReport {
  static func json(started: UInt64, _ edges: [EdgeName: EdgeCounts]) -> String {
    var merged: [EdgeName: EdgeCounts] = [:]
    for (name, counts) in edges {
      var name = name
      name.cluster = ""
      merged[name, default: EdgeCounts()].merge(counts)
    }
    let limits = LatencyHistogram.limits.map { "\(Double($0) / 1e6)" }.joined(separator: ",")
    let objects = merged.map { object($0, $1) }.sorted().joined(separator: ",")
    return "{\"started\":\(started),\"at\":\(WallClock.nanoseconds),\"limits\":[\(limits)],\"edges\":[\(objects)]}"
  }

  private static func object(_ name: EdgeName, _ counts: EdgeCounts) -> String {
    let quote = AccessLog.quote
    let refused = counts.refusals.sorted { $0.key < $1.key }.map { "\(quote($0.key)):\($0.value)" }
    let members = [
      ("direction", quote(name.direction.rawValue)), ("source", quote(name.source)), ("service", quote(name.service)),
      ("version", quote(name.version)), ("requests", "\(counts.requests)"), ("failures", "\(counts.failures)"),
      ("abandoned", "\(counts.responses[0])"), ("codes", list(counts.responses)), ("retries", "\(counts.retries)"),
      ("ejections", "\(counts.ejections)"), ("refused", "{\(refused.joined(separator: ","))}"),
      ("bytesToServer", "\(counts.bytesToServer)"), ("bytesToClient", "\(counts.bytesToClient)"),
      ("latency", list(counts.latency.counts)), ("latencySum", "\(Double(counts.latency.sumMicroseconds) / 1e6)"),
    ]
    return "{" + members.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
  }

  private static func list(_ numbers: [UInt64]) -> String {
    "[" + numbers.map(String.init).joined(separator: ",") + "]"
  }
}

enum WallClock {
  /// Since 1970.
  static var nanoseconds: UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}
