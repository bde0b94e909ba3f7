/// A run of consecutive units of one transmission that passed a place in one record. Units are numbered from 0 in the order
/// in which the sender made them: datagrams, or of a stream the stretches of `unitBytes` that segmentation and its offload
/// leave alone (a unit passes with the byte that it begins with).
public struct PassedUnits: Sendable, Equatable {
  /// Nanoseconds; one clock for all places.
  public var time: UInt64
  public var first: UInt32
  public var count: UInt32

  public init(time: UInt64, first: UInt32, count: UInt32 = 1) {
    self.time = time
    self.first = first
    self.count = count
  }
}

/// One side of an interface, as a transmission passes it.
public struct RatePlace: Sendable {
  public var place: InterfacePlace
  /// Packets leave the node here, after whatever queue the interface has. Otherwise they arrive, before anything judges them.
  public var outbound: Bool
  /// In order of time.
  public var passed: [PassedUnits]

  public init(_ place: InterfacePlace, outbound: Bool, passed: [PassedUnits] = []) {
    self.place = place
    self.outbound = outbound
    self.passed = passed
  }
}

/// A transmission from one node to another, as everything on its way saw it.
public struct RateObservations: Sendable {
  public var from: String
  public var to: String
  /// Closed loop (TCP): what is lost comes again, and the sender adapts. Otherwise datagrams at a given rate.
  public var isStream: Bool
  /// Payload of a unit.
  public var unitBytes: Int
  /// When the sender made each unit, before any queue of its own.
  public var sent: [PassedUnits]
  public var places: [RatePlace]
  /// What the receiving program got; nil for a stream, whose stack hides it.
  public var received: [PassedUnits]?
  /// Of a stream, by the sender's counters: copies that it made and that left by no interface.
  public var unsentCopies = 0
  /// Of a stream, by the sender's counters: copies that the receiver had already.
  public var spuriousCopies = 0
  /// Of a stream, by the sender's counters: all copies that it made again; nil where it does not say. Fewer than the captures
  /// miss: then it is the captures that miss them.
  public var repeatedCopies: Int?
  /// The clock's resolution in `sent`, ns.
  public var sentResolution: UInt64 = 0

  public init(
    from: String, to: String, isStream: Bool, unitBytes: Int, sent: [PassedUnits], places: [RatePlace],
    received: [PassedUnits]?
  ) {
    self.from = from
    self.to = to
    self.isStream = isStream
    self.unitBytes = unitBytes
    self.sent = sent
    self.places = places
    self.received = received
  }
}

/// When every unit passed one place.
struct UnitTimes {
  /// 0: never.
  private(set) var first: [UInt64]
  private(set) var last: [UInt64]
  private(set) var copies: [UInt16]

  init(_ passed: [PassedUnits], count: Int) {
    first = [UInt64](repeating: 0, count: count)
    last = first
    copies = [UInt16](repeating: 0, count: count)
    for run in passed {
      // A capture that lost the sender's last packets knows fewer units than were sent.
      for unit in min(count, Int(run.first))..<min(count, Int(run.first) + Int(run.count)) {
        if copies[unit] == 0 { first[unit] = run.time }
        last[unit] = run.time
        if copies[unit] < .max { copies[unit] += 1 }
      }
    }
  }
}
