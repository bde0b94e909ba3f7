// What netloom-machine and a relay say to each other: packets of text over a socket pair (SOCK_SEQPACKET).
//
//   machine ── link 3 8 9 5000 0 5000 0 r1:eth1 r2:eth1 ⏎ link … ──► relay      once, before it starts
//           ◄── ready ──                                                        its sockets are open
//           ── delay 3 20000 1000 5000 0 ──►                                    any time
//           ◄── set 3 ──                                                        every packet from now on
//           ── count 3 ──►                                                      any time
//           ◄── counts 3 1042 0 9216 53248 61440 1040 0 9216 49152 57344 ──     what A sent to B, and B to A
//
// Its end is the end of the relay.

/// A link that goes through a relay: its two far ends, which stand in the relay's namespace, and its delays.
public struct RelayedLink: Equatable, Sendable {
  /// Its place in the lab's plan.
  public var id: UInt32
  /// Interface indexes of the far ends of A's and B's veth pairs.
  public var a: UInt32
  public var b: UInt32
  public var aToB: LinkDelay
  public var bToA: LinkDelay
  /// `NODE:IFACE` of A's and B's own ends, for people.
  public var nameOfA: String
  public var nameOfB: String

  public init(
    id: UInt32, a: UInt32, b: UInt32, aToB: LinkDelay, bToA: LinkDelay, nameOfA: String, nameOfB: String
  ) {
    (self.id, self.a, self.b) = (id, a, b)
    (self.aToB, self.bToA) = (aToB, bToA)
    (self.nameOfA, self.nameOfB) = (nameOfA, nameOfB)
  }
}

/// What a relay is told.
public enum RelayOrder: Equatable, Sendable {
  case link(RelayedLink)
  case delay(link: UInt32, aToB: LinkDelay, bToA: LinkDelay)
  case count(link: UInt32)

  public var text: String {
    switch self {
    case .link(let link):
      "link \(link.id) \(link.a) \(link.b) \(link.aToB.text) \(link.bToA.text) \(link.nameOfA) \(link.nameOfB)"
    case .delay(let link, let aToB, let bToA): "delay \(link) \(aToB.text) \(bToA.text)"
    case .count(let link): "count \(link)"
    }
  }

  /// nil: no order.
  public init?(_ line: some StringProtocol) {
    let words = line.split(separator: " ")
    let numbers = words.dropFirst().map { UInt32($0) }
    switch words.first {
    case "link":
      guard words.count == 10, let id = numbers[0], let a = numbers[1], let b = numbers[2],
        let aToB = LinkDelay(numbers[3...4]), let bToA = LinkDelay(numbers[5...6])
      else { return nil }
      self = .link(
        RelayedLink(
          id: id, a: a, b: b, aToB: aToB, bToA: bToA, nameOfA: String(words[8]), nameOfB: String(words[9])))
    case "delay":
      guard words.count == 6, let link = numbers[0], let aToB = LinkDelay(numbers[1...2]),
        let bToA = LinkDelay(numbers[3...4])
      else { return nil }
      self = .delay(link: link, aToB: aToB, bToA: bToA)
    case "count":
      guard words.count == 2, let link = numbers[0] else { return nil }
      self = .count(link: link)
    default: return nil
    }
  }

  /// A packet may hold several, a line each.
  public static func all(in packet: UnsafeRawBufferPointer) -> [RelayOrder?] {
    String(decoding: packet, as: UTF8.self).split(separator: "\n").map { RelayOrder($0) }
  }
}

/// What one direction of a link has carried since its relay runs. A frame that the kernel aggregated is one packet.
public struct CarriedPackets: Equatable, Sendable {
  public var packets: UInt64
  /// Arrived and not sent on: the queue was full, the receiving side did not take them, or they were no frames.
  public var dropped: UInt64
  /// Nanoseconds after they were due that packets were sent on.
  public var lateMedian: UInt64
  public var lateP99: UInt64
  public var latest: UInt64

  public init(packets: UInt64, dropped: UInt64, lateMedian: UInt64, lateP99: UInt64, latest: UInt64) {
    (self.packets, self.dropped) = (packets, dropped)
    (self.lateMedian, self.lateP99, self.latest) = (lateMedian, lateP99, latest)
  }
}

/// What a relay answers.
public enum RelayAnswer: Equatable, Sendable {
  case ready
  case set(link: UInt32)
  case counts(link: UInt32, aToB: CarriedPackets, bToA: CarriedPackets)
  /// It cannot do its work, and ends.
  case failed(String)

  public var text: String {
    switch self {
    case .ready: "ready"
    case .set(let link): "set \(link)"
    case .counts(let link, let aToB, let bToA): "counts \(link) \(aToB.text) \(bToA.text)"
    case .failed(let reason): "failed \(reason)"
    }
  }

  public init?(_ text: String) {
    if text == "ready" {
      self = .ready
    } else if text.hasPrefix("failed ") {
      self = .failed(String(text.dropFirst(7)))
    } else if text.hasPrefix("set "), let link = UInt32(text.dropFirst(4)) {
      self = .set(link: link)
    } else if text.hasPrefix("counts "), let answer = Self.counts(text) {
      self = answer
    } else {
      return nil
    }
  }
}

extension RelayAnswer {
  private static func counts(_ text: String) -> RelayAnswer? {
    let words = text.split(separator: " ").dropFirst()
    let numbers = words.dropFirst().compactMap { UInt64($0) }
    guard let link = words.first.flatMap({ UInt32($0) }), words.count == 11, numbers.count == 10 else { return nil }
    return .counts(link: link, aToB: CarriedPackets(numbers[..<5]), bToA: CarriedPackets(numbers[5...]))
  }
}

extension CarriedPackets {
  fileprivate var text: String { "\(packets) \(dropped) \(lateMedian) \(lateP99) \(latest)" }

  /// - Parameter numbers: five of them.
  fileprivate init(_ numbers: ArraySlice<UInt64>) {
    let at = numbers.startIndex
    self.init(
      packets: numbers[at], dropped: numbers[at + 1], lateMedian: numbers[at + 2], lateP99: numbers[at + 3],
      latest: numbers[at + 4])
  }
}

extension LinkDelay {
  fileprivate var text: String { "\(microseconds) \(jitter)" }

  fileprivate init?(_ numbers: ArraySlice<UInt32?>) {
    guard let first = numbers.first, let delay = first, let last = numbers.last, let jitter = last else { return nil }
    self.init(microseconds: delay, jitter: jitter)
  }
}
