// Flow rules come from neighbors, and the kernel takes all of them in one transaction: one that it refuses must keep none
// of the others out.

internal import BGPCore
internal import BGPWire
internal import Nftables

/// Which of the active flow rules stand, after they have been given to the kernel.
struct FlowSpecOutcome {
  /// Rules that are not obeyed, and why: of the compiler and of the kernel.
  private(set) var refused: [FlowRule: String] = [:]
  /// What people should know.
  private(set) var events: [String] = []
  /// The kernel refused some by name: trying them again is of no use.
  private(set) var isFinal = false

  /// Rules that are found out one by one. Each costs a transaction, on the thread that keeps the sessions alive.
  private static let mostCulprits = 16

  /// Gives the rules to the kernel. Where it refuses one that it can name, the others are tried without it; where it
  /// names none, or ever more, without all that are not in force yet.
  /// - Parameters:
  ///   - standing: what is in force, and stays so where everything is refused.
  ///   - set: throws a refusal whose offender is the name of a rule, where the kernel named one.
  init(
    _ active: [ActiveFlowRule], _ standing: FlowSpecContents, _ compile: ([ActiveFlowRule]) -> FlowSpecRules,
    set: (FlowSpecRules) throws(Refusal) -> Void
  ) {
    var left = active
    var attempts = 0
    while true {
      let compiled = compile(left)
      refused.merge(compiled.refused) { first, _ in first }
      do throws(Refusal) {
        try set(compiled)
        return
      } catch {
        attempts += 1
        let named = attempts <= Self.mostCulprits ? [error.offender] : []
        var culprits = Self.rules(left, named: Set(named))
        isFinal = !culprits.isEmpty
        if culprits.isEmpty { culprits = Self.rules(left, named: Self.newcomers(compiled, standing)) }
        guard !culprits.isEmpty else {
          events.append("what stood before stays in force: \(error)")
          return
        }
        for rule in culprits {
          refused[rule] = error.reason
          events.append("\(rule) is not obeyed: \(error.reason)")
        }
        left.removeAll { refused[$0.rule] != nil }
      }
    }
  }

  private static func rules(_ active: [ActiveFlowRule], named names: Set<String>) -> [FlowRule] {
    active.map(\.rule).filter { names.contains(FlowSpecRules.name($0)) }
  }

  /// Names of rules that are not in force as they are wanted.
  private static func newcomers(_ compiled: FlowSpecRules, _ standing: FlowSpecContents) -> Set<String> {
    let rules = Set(standing.rules.map(\.canonical))
    let chains = Set(standing.chains.map(\.name))
    return Set(compiled.rules.filter { !rules.contains($0.canonical) }.map { FlowSpecRules.name($0.comment) })
      .union(compiled.chains.map(\.name).filter { !chains.contains($0) })
  }
}
