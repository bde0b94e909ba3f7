public import NetTypes

// NAT. Registers as nft uses them: both addresses, then both ports, each in a place of sixteen bytes.
extension Action {
  /// SNAT (postrouting, input).
  /// - Parameters:
  ///   - addresses: one, or a range to choose from.
  ///   - ports: TCP and UDP only; nil: the packet's, if nobody has it.
  public static func sourceNAT(
    to addresses: ClosedRange<IPAddress>, ports: ClosedRange<UInt16>? = nil, _ flags: TranslationFlags = []
  ) -> Action { translate(.source, addresses, ports, flags) }

  /// DNAT (prerouting, output).
  public static func destinationNAT(
    to addresses: ClosedRange<IPAddress>, ports: ClosedRange<UInt16>? = nil, _ flags: TranslationFlags = []
  ) -> Action { translate(.destination, addresses, ports, flags) }

  public static func sourceNAT(to address: IPAddress, port: UInt16? = nil, _ flags: TranslationFlags = []) -> Action {
    sourceNAT(to: address...address, ports: port.map { $0...$0 }, flags)
  }

  public static func destinationNAT(
    to address: IPAddress, port: UInt16? = nil, _ flags: TranslationFlags = []
  ) -> Action { destinationNAT(to: address...address, ports: port.map { $0...$0 }, flags) }

  /// DNAT of port to port, each of its own: `dnat ip to ADDRESS : th dport map {...}`. The kernel does not shift a range
  /// of ports to another: given a range it takes any free port of it.
  /// - Parameter ports: what the packet is sent to, and what becomes of it.
  public static func destinationNAT(
    to addresses: ClosedRange<IPAddress>, mapping ports: [(from: UInt16, to: UInt16)], _ flags: TranslationFlags = []
  ) -> Action {
    let family = addresses.lowerBound.family
    precondition(family == addresses.upperBound.family, "a range of addresses is of one family")
    var values = Values()
    let address = values.put(addresses.lowerBound.bytes, addresses.upperBound.bytes)
    let elements = ports.map { SetElement(SetKey(Datum.port($0.from)), .data(Datum.port($0.to))) }
    let map = SetContents(SetShape([.port], to: .data([.port])), elements)
    let place = values.reserve()
    return Action(
      transports: Match.withPorts,
      values.expressions + [
        .payload(Expression.Payload(.transportHeader, at: 2, 2, .load(into: place))),
        .lookup(Expression.Lookup(.inline(map), place, answer: .register(place))),
        .addressTranslation(
          Expression.AddressTranslation(
            .destination, family, address: address, port: RegisterRange(place), flags: flags)),
      ])
  }

  private static func translate(
    _ side: Expression.AddressTranslation.Side, _ addresses: ClosedRange<IPAddress>, _ ports: ClosedRange<UInt16>?,
    _ flags: TranslationFlags
  ) -> Action {
    let family = addresses.lowerBound.family
    precondition(family == addresses.upperBound.family, "a range of addresses is of one family")
    var values = Values()
    let address = values.put(addresses.lowerBound.bytes, addresses.upperBound.bytes)
    let port = ports.map { values.put(Datum.port($0.lowerBound), Datum.port($0.upperBound)) }
    return Action(
      transports: ports == nil ? [] : Match.withPorts,
      values.expressions + [
        .addressTranslation(
          Expression.AddressTranslation(side, family, address: address, port: port, flags: flags))
      ])
  }

  /// SNAT to the address of the interface that the packet leaves by (postrouting).
  public static func masquerade(ports: ClosedRange<UInt16>? = nil, _ flags: TranslationFlags = []) -> Action {
    var values = Values()
    let port = ports.map { values.put(Datum.port($0.lowerBound), Datum.port($0.upperBound)) }
    return Action(
      transports: ports == nil ? [] : Match.withPorts,
      values.expressions + [.masquerade(Expression.Masquerade(port: port, flags: flags))])
  }

  /// DNAT to the node itself (prerouting, output).
  public static func redirect(toPorts ports: ClosedRange<UInt16>? = nil, _ flags: TranslationFlags = []) -> Action {
    var values = Values()
    let port = ports.map { values.put(Datum.port($0.lowerBound), Datum.port($0.upperBound)) }
    return Action(
      transports: ports == nil ? [] : Match.withPorts,
      values.expressions + [.redirect(Expression.Redirect(port: port, flags: flags))])
  }

  /// Hands the packet to a transparent local socket (prerouting, filter).
  public static func transparentProxy(to port: UInt16, _ family: AddressFamily? = nil) -> Action {
    Action(
      transports: Match.withPorts,
      [
        .immediate(Expression.Immediate(Datum.port(port))),
        .transparentProxy(Expression.TransparentProxy(family: family, port: .first)),
      ])
  }

  /// One prefix to another of the same length, host bits kept (NETMAP): `snat ip prefix to ip saddr map {...}`.
  /// - Parameter pairs: prefixes of one family, none inside another.
  public static func prefixNAT(
    _ side: Expression.AddressTranslation.Side, _ pairs: [(from: IPPrefix, to: IPPrefix)]
  ) -> Action {
    guard let family = pairs.first?.from.family else { return Action([]) }
    precondition(
      pairs.allSatisfy { $0.from.family == family && $0.to.family == family && $0.from.length == $0.to.length },
      "prefixes are translated to prefixes of their family and length")
    let elements = pairs.map { from, to in
      SetElement(SetKey(from.address.bytes, through: from.last.bytes), .data(to.address.bytes + to.last.bytes))
    }
    let type = DataType.address(family)
    let map = SetContents(SetShape([type], to: .data([type], isRange: true), isInterval: true), elements)
    let field: Match.Side = side == .source ? .source : .destination
    let last = Register.first.advanced(by: type.length)
    return Action(
      family: family,
      [
        field.load(family), .lookup(Expression.Lookup(.inline(map), answer: .register(.first))),
        .addressTranslation(
          Expression.AddressTranslation(
            side, family, address: RegisterRange(.first, through: last), flags: .prefix)),
      ])
  }

  /// Each new connection to the next of several addresses.
  public static func spread(over addresses: [IPAddress], _ kind: Expression.NumberGenerator.Kind) -> Action {
    guard let family = addresses.first?.family else { return Action([]) }
    precondition(addresses.allSatisfy { $0.family == family }, "addresses to choose from are of one family")
    let elements = addresses.enumerated().map { index, address in
      SetElement(SetKey(Datum.hostNumber(UInt32(index))), .data(address.bytes))
    }
    let map = SetContents(SetShape([.hostInteger], to: .data([.address(family)])), elements)
    return Action(
      family: family,
      [
        .numberGenerator(Expression.NumberGenerator(kind, modulus: UInt32(addresses.count))),
        .lookup(Expression.Lookup(.inline(map), answer: .register(.first))),
        .addressTranslation(
          Expression.AddressTranslation(.destination, family, address: RegisterRange(.first))),
      ])
  }

  /// Values side by side in registers.
  private struct Values {
    var expressions: [Expression] = []
    private var next = Register.first
    private static let placeSize = 16

    /// One register where both are the same.
    mutating func put(_ first: [UInt8], _ last: [UInt8]) -> RegisterRange {
      let start = put(first)
      return RegisterRange(start, through: first == last ? nil : put(last))
    }

    private mutating func put(_ value: [UInt8]) -> Register {
      let place = reserve()
      expressions.append(.immediate(Expression.Immediate(value, into: place)))
      return place
    }

    mutating func reserve() -> Register {
      let place = next
      if place.word < 12 { next = place.advanced(by: Self.placeSize) }
      return place
    }
  }
}
