public import NetTypes

/// One thing that a rule does with packets for which its conditions hold, as `nft` would write it.
public struct Action: Hashable, Sendable {
  var clause: Clause

  init(family: AddressFamily? = nil, transports: [TransportProtocol] = [], _ expressions: [Expression]) {
    clause = Clause(family: family, transports: transports, expressions: expressions)
  }

  /// Expressions as they are.
  public static func expressions(_ expressions: [Expression]) -> Action { Action(expressions) }
  /// A condition behind actions: what follows is done only if it holds.
  public static func only(if match: Match) -> Action {
    var action = Action([])
    action.clause = match.clause
    return action
  }

  // MARK: Verdicts

  public static func verdict(_ verdict: Verdict) -> Action { Action([.verdict(verdict)]) }
  public static let accept = verdict(.accept)
  public static let drop = verdict(.drop)
  public static let `return` = verdict(.return)
  public static func jump(_ chain: String) -> Action { verdict(.jump(chain)) }
  public static func goto(_ chain: String) -> Action { verdict(.goto(chain)) }
  /// Drop, and tell the sender.
  public static func reject(_ reason: Expression.Reject.Reason = .port) -> Action {
    Action([.reject(.unreachableAnyFamily(reason))])
  }
  /// Drop, and tell the sender by a TCP reset.
  public static let rejectByReset = Action(transports: [.tcp], [.reject(.tcpReset)])
  /// Drop, and tell the sender by ICMP or ICMPv6 destination unreachable, with a code of that protocol.
  public static func reject(code: UInt8, _ family: AddressFamily) -> Action {
    Action(family: family, [.reject(.unreachable(code: code))])
  }

  // MARK: Marks and fields

  public static let counter = Action([.counter(Expression.Counter())])
  public static func log(prefix: String, group: UInt16? = nil) -> Action {
    Action([.log(Expression.Log(prefix: prefix, group: group))])
  }

  public static func setMark(_ mark: UInt32) -> Action {
    Action([
      .immediate(Expression.Immediate(Datum.hostNumber(mark))), .meta(Expression.Meta(.mark, .store(from: .first))),
    ])
  }

  /// The class of traffic control, e.g. 1:10 is `0x1_0010`.
  public static func setPriority(_ classID: UInt32) -> Action {
    Action([
      .immediate(Expression.Immediate(Datum.hostNumber(classID))),
      .meta(Expression.Meta(.priority, .store(from: .first))),
    ])
  }

  public static func setConnectionMark(_ mark: UInt32) -> Action {
    Action([
      .immediate(Expression.Immediate(Datum.hostNumber(mark))),
      .connectionTracking(Expression.ConnectionTracking(.mark, nil, .store(from: .first))),
    ])
  }

  /// The connection remembers the packet's mark.
  public static let saveMark = Action([
    .meta(Expression.Meta(.mark)), .connectionTracking(Expression.ConnectionTracking(.mark, nil, .store(from: .first))),
  ])
  /// The packet gets the mark that its connection remembers.
  public static let restoreMark = Action([
    .connectionTracking(Expression.ConnectionTracking(.mark)), .meta(Expression.Meta(.mark, .store(from: .first))),
  ])

  /// - Parameter direction: nil: of both.
  public static func setZone(_ zone: UInt16, _ direction: ConnectionDirection? = nil) -> Action {
    let value = withUnsafeBytes(of: zone) { Array($0) }
    return Action([
      .immediate(Expression.Immediate(value)),
      .connectionTracking(Expression.ConnectionTracking(.zone, direction, .store(from: .first))),
    ])
  }

  public static let noTrack = Action([.noTrack(Expression.NoTrack())])

  /// RFC 2474. The header checksum of IPv4 covers it (RFC 791 section 3.1: at byte 10) and is written in 16-bit words.
  public static func setDSCP(_ codePoint: UInt8, _ family: AddressFamily) -> Action {
    precondition(codePoint < 64, "a DSCP has six bits")
    let shifted = UInt16(codePoint) << (family == .ipv4 ? 2 : 6)
    return write(family, at: 0, keeping: family == .ipv4 ? 0xFF03 : 0xF03F, Datum.port(shifted))
  }

  /// IPv4's time to live with the checksum, or IPv6's hop limit.
  public static func setTimeToLive(_ hops: UInt8, _ family: AddressFamily) -> Action {
    if family == .ipv4 { return write(family, at: 8, keeping: 0x00FF, [hops, 0]) }
    return Action(
      family: family,
      [
        .immediate(Expression.Immediate([hops])),
        .payload(Expression.Payload(.networkHeader, at: 7, 1, .store(from: .first))),
      ])
  }

  private static func write(
    _ family: AddressFamily, at offset: UInt32, keeping mask: UInt16, _ value: [UInt8]
  ) -> Action {
    Action(
      family: family,
      [
        .payload(Expression.Payload(.networkHeader, at: offset, 2)),
        .bitwise(Expression.Bitwise(mask: Datum.port(mask), xor: value)),
        .payload(
          Expression.Payload(
            .networkHeader, at: offset, 2, .store(from: .first),
            checksum: family == .ipv4 ? Expression.Payload.Checksum(at: 10) : nil)),
      ])
  }

  /// TCP's maximum segment size in a SYN (RFC 9293 section 3.7.1: option 2). nil: what the path's MTU leaves.
  public static func setSegmentSize(_ size: UInt16?) -> Action {
    let value: [Expression] =
      if let size {
        [.immediate(Expression.Immediate(Datum.port(size)))]
      } else {
        [
          .route(Expression.RouteInformation(.tcpSegmentSize)),
          .byteOrder(Expression.ByteOrder(toNetwork: true, length: 2, size: 2)),
        ]
      }
    let store = Expression.headerOption(Expression.HeaderOption(.tcp, 2, at: 2, 2, .store(from: .first)))
    return Action(transports: [.tcp], value + [store])
  }

  // MARK: Per source, per class

  /// Adds the packet's source to a dynamic set, or refreshes it, and goes on as the expressions of its element say:
  /// with a limit that `isOver`, what follows is done with packets beyond the limit.
  public static func update(
    _ set: String, withSourceOf family: AddressFamily, timeout: UInt64? = nil, _ expressions: [Expression]
  ) -> Action {
    Action(
      family: family,
      [
        Match.Side.source.load(family),
        .dynamicSet(Expression.DynamicSet(.update, set, timeout: timeout, expressions)),
      ])
  }

  /// The same for each flow: addresses and protocol, and the ports of TCP and UDP. The set's keys are those in that order
  /// (`SetShape.flow`).
  public static func update(
    _ set: String, withFlowOf family: AddressFamily, ports: Bool, timeout: UInt64? = nil, _ expressions: [Expression]
  ) -> Action {
    var register = Register.first
    var loads: [Expression] = []
    for side in [Match.Side.source, .destination] {
      loads.append(side.load(family, into: register))
      register = register.advanced(by: family.bits / 8)
    }
    loads.append(.meta(Expression.Meta(.transportProtocol, .load(into: register))))
    for offset in [0, 2] as [UInt32] where ports {
      register = register.advanced(by: 1)
      loads.append(.payload(Expression.Payload(.transportHeader, at: offset, 2, .load(into: register))))
    }
    return Action(
      family: family, transports: ports ? Match.withPorts : [],
      loads + [.dynamicSet(Expression.DynamicSet(.update, set, timeout: timeout, expressions))])
  }

  /// Sends the packet out by another interface (netdev).
  public static func forward(to link: UInt32) -> Action {
    Action([.immediate(Expression.Immediate(Datum.hostNumber(link))), .forward(Expression.Forward())])
  }

  /// Sends a copy by another interface (netdev).
  public static func duplicate(to link: UInt32) -> Action {
    Action([.immediate(Expression.Immediate(Datum.hostNumber(link))), .duplicate(Expression.Duplicate())])
  }
}
