internal import NetTypes

extension Rule {
  /// A rule for a chain of `family`: conditions, then what is done when all of them hold.
  ///
  /// What a condition needs is asked first, once: that the packet is IPv4 for an IPv4 address in a table for both, that
  /// it is TCP or UDP for a port where no condition before named the protocol. What actions need is asked before
  /// anything that counts: a limit must not be used up by packets that the rule is not for.
  public init(in family: TableFamily = .inet, _ matches: [Match], _ actions: [Action], comment: String = "") {
    var lowering = Lowering(family)
    let clauses = matches.map(\.clause) + actions.map(\.clause)
    for (place, clause) in clauses.enumerated() {
      if place == matches.count || clause.isStateful {
        for later in clauses[place...] { lowering.ask(for: later) }
      }
      lowering.add(clause)
    }
    self.init(lowering.expressions, comment: comment)
  }
}

extension Clause {
  /// Whether asking it changes it.
  fileprivate var isStateful: Bool {
    expressions.contains { expression in
      switch expression {
      case .limit, .connectionLimit, .quota, .counter, .numberGenerator, .dynamicSet: true
      default: false
      }
    }
  }
}

/// Puts clauses behind each other, each after what it needs.
private struct Lowering {
  private let table: TableFamily
  private(set) var expressions: [Expression] = []
  private var family: AddressFamily?
  private var transports: [TransportProtocol] = []

  init(_ table: TableFamily) {
    self.table = table
    family = AddressFamily(netfilterNumber: table.rawValue)
  }

  mutating func add(_ clause: Clause) {
    ask(for: clause)
    expressions += clause.expressions
    family = clause.statesFamily ?? family
    if !clause.statesTransports.isEmpty { transports = clause.statesTransports }
  }

  /// What `clause` needs, unless it is settled.
  mutating func ask(for clause: Clause) {
    if let needed = clause.family, needed != family {
      expressions += question(needed)
      family = needed
    }
    if !clause.transports.isEmpty, transports.isEmpty {
      expressions += Match.transportProtocol(anyOf: clause.transports).clause.expressions
      transports = clause.transports
    }
  }

  /// Tables that see whole frames know the family by EtherType only.
  private func question(_ family: AddressFamily) -> [Expression] {
    guard table == .netdev || table == .bridge else { return Match.family(family).clause.expressions }
    let etherType: UInt16 = family == .ipv4 ? 0x0800 : 0x86DD  // ETH_P_IP, ETH_P_IPV6
    return [.meta(Expression.Meta(.etherType)), .compare(Expression.Compare(Datum.port(etherType)))]
  }
}
