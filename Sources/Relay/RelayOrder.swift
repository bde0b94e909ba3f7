// What netloom-machine and a relay say to each other: packets of text over a socket pair (SOCK_SEQPACKET).
//
//   machine ── link 3 8 9 5000 0 5000 0 r1:eth1 r2:eth1 ⏎ link … ──► relay      once, before it starts
//           ◄── ready ──                                                        its sockets are open
//           ── delay 3 20000 1000 5000 0 ──►                                    any time
//           ◄── set 3 ──                                                        every packet from now on
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

  public var text: String {
    switch self {
    case .link(let link):
      "link \(link.id) \(link.a) \(link.b) \(link.aToB.text) \(link.bToA.text) \(link.nameOfA) \(link.nameOfB)"
    case .delay(let link, let aToB, let bToA): "delay \(link) \(aToB.text) \(bToA.text)"
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
    default: return nil
    }
  }

  /// A packet may hold several, a line each.
  public static func all(in packet: UnsafeRawBufferPointer) -> [RelayOrder?] {
    String(decoding: packet, as: UTF8.self).split(separator: "\n").map { RelayOrder($0) }
  }
}

/// What a relay answers.
public enum RelayAnswer: Equatable, Sendable {
  case ready
  case set(link: UInt32)
  /// It cannot do its work, and ends.
  case failed(String)

  public var text: String {
    switch self {
    case .ready: "ready"
    case .set(let link): "set \(link)"
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
    } else {
      return nil
    }
  }
}

extension LinkDelay {
  fileprivate var text: String { "\(microseconds) \(jitter)" }

  fileprivate init?(_ numbers: ArraySlice<UInt32?>) {
    guard let first = numbers.first, let delay = first, let last = numbers.last, let jitter = last else { return nil }
    self.init(microseconds: delay, jitter: jitter)
  }
}
