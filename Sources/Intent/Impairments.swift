public import ControlProtocol
internal import NetTypes
public import Topology

/// What faults do to one direction of a link, beside what the file declares of it.
public struct DirectionFault: Codable, Sendable, Equatable {
  /// Of 1,000,000 packets.
  public var lossPPM: UInt32 = 0
  public var delayMicroseconds: UInt32 = 0
  public var jitterMicroseconds: UInt32 = 0
  /// bit/s; 0: no limit.
  public var rate: UInt64 = 0

  public init() {}

  public var isNothing: Bool { self == DirectionFault() }
}

extension LabIntent {
  /// What the node's kernel does for the links at it: it loses what arrives, and holds back what leaves.
  ///
  /// Loss is the receiver's, so that the sender is not told (DESIGN decision 9). `faults` by the end that sends,
  /// `NODE:IFACE`.
  public func impairments(of node: ResolvedNode, faults: [String: DirectionFault] = [:]) -> [NLImpairment] {
    node.interfaces.compactMap { interface in
      let link = lab.links[interface.link]
      let declared = link.impairment
      let arriving = faults["\(interface.farNode):\(interface.farInterface)"] ?? DirectionFault()
      let leaving = faults["\(node.name):\(interface.name)"] ?? DirectionFault()
      var impairment = NLImpairment()
      impairment.interface = interface.name
      impairment.lossPpm = combined(declared?.lossPPM ?? 0, arriving.lossPPM)
      // The narrower of the two.
      impairment.rate = [declared?.rate ?? 0, leaving.rate].filter { $0 > 0 }.min() ?? 0
      guard impairment.lossPpm > 0 || impairment.rate > 0 else { return nil }
      let parts =
        (impairment.lossPpm > 0 ? ["loss \(percentage(impairment.lossPpm))"] : [])
        + (impairment.rate > 0 ? ["rate \(impairment.rate)bit"] : [])
      impairment.origin.text = parts.joined(separator: ", ")
      if let declared, arriving.lossPPM == 0, leaving.rate == 0 { impairment.origin.place = declared.place.description }
      return impairment
    }
  }

  /// Delay and jitter of one direction.
  public func delay(of link: ResolvedLink, fault: DirectionFault) -> NLLinkDelay {
    var delay = NLLinkDelay()
    delay.delayUs = (link.impairment?.delayMicroseconds ?? 0) + fault.delayMicroseconds
    // More than the delay is possible: the relay holds no packet shorter than not at all.
    delay.jitterUs = (link.impairment?.jitterMicroseconds ?? 0) + fault.jitterMicroseconds
    return delay
  }
}

/// A packet gets through when it gets through both.
private func combined(_ a: UInt32, _ b: UInt32) -> UInt32 {
  let million: UInt64 = 1_000_000
  let (a, b) = (min(UInt64(a), million), min(UInt64(b), million))
  return UInt32(million - (million - a) * (million - b) / million)
}

/// `0.5%`, with as many places as it takes.
private func percentage(_ ppm: UInt32) -> String {
  var digits = String(ppm % 10_000)
  digits = String(repeating: "0", count: 4 - digits.count) + digits
  while digits.last == "0" { digits.removeLast() }
  return "\(ppm / 10_000)" + (digits.isEmpty ? "" : "." + digits) + "%"
}

extension LinkImpairment {
  /// Somebody at its ends has to drop or hold back packets.
  var needsAgents: Bool { lossPPM > 0 || rate != nil }
}
