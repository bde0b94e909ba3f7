public import NetTypes

/// An address, and a port where the protocol has them.
public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
  public var address: IPAddress
  /// nil: the protocol has none (ICMP).
  public var port: UInt16?

  public init(_ address: IPAddress, _ port: UInt16? = nil) {
    self.address = address
    self.port = port
  }

  public var description: String {
    guard let port else { return "\(address)" }
    return address.family == .ipv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
  }
}

/// What tells one probe's packets from all others on every interface, whatever NAT does to addresses and ports.
public enum ProbeIdentity: Sendable, Hashable {
  /// 16 bytes at the start of the payload of ICMP echo messages and UDP datagrams. A UDP datagram has one more byte, its
  /// `Way`; ICMP tells the way by its type.
  case nonce([UInt8])
  /// The client's initial sequence number. The server's is learned from its SYN-ACK.
  case sequence(UInt32)

  public static let nonceLength = 16
}

/// The two ways of a flow. The raw value is the direction byte of UDP probes.
public enum Way: UInt8, Sendable, Hashable {
  case forward = 0
  case back = 1
}

/// One probe (ICMP, UDP) or one connection (TCP), and what its sender knows about it.
public struct FlowProbe: Sendable {
  public var identity: ProbeIdentity
  /// Its sender's socket, as the sender sees itself and the other side.
  public var source: Endpoint?
  public var destination: Endpoint
  /// The kernel took it from the sender.
  public var sent: Bool
  /// The answer reached the sender's socket (TCP: the handshake finished).
  public var answered: Bool
  /// The kernel refused to take it.
  public var refusal: Refusal?

  public struct Refusal: Sendable, Equatable {
    public var reason: DropReason
    public var text: String

    public init(_ reason: DropReason, _ text: String) {
      self.reason = reason
      self.text = text
    }
  }

  public init(
    identity: ProbeIdentity, source: Endpoint?, destination: Endpoint, sent: Bool, answered: Bool,
    refusal: Refusal? = nil
  ) {
    self.identity = identity
    self.source = source
    self.destination = destination
    self.sent = sent
    self.answered = answered
    self.refusal = refusal
  }
}

/// A flow from one node to another.
public struct TracedFlow: Sendable {
  public enum Kind: Sendable { case icmp, tcp, udp }

  public var kind: Kind
  /// The node that sends.
  public var from: String
  /// The node that owns the destination; nil when none of the lab does.
  public var to: String?
  public var probes: [FlowProbe]
  /// UDP to a service that does not echo our nonce: its answers are found by the reversed tuple.
  public var returnByTuple: Bool

  public init(kind: Kind, from: String, to: String?, probes: [FlowProbe], returnByTuple: Bool = false) {
    self.kind = kind
    self.from = from
    self.to = to
    self.probes = probes
    self.returnByTuple = returnByTuple
  }
}
