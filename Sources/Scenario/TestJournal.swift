internal import NorthboundAPI
internal import Synchronization
internal import Topology

/// What the steps of one test have come to so far, in the order in which they ended: lists of steps that run at the same
/// time write into one journal.
final class TestJournal: Sendable {
  private struct State {
    var entries: [(number: Int, report: StepReport)] = []
    var next = 0
    /// Summaries of the steps under way, by number.
    var running: [Int: String] = [:]
    var latest: String?
    var broke = false
    /// Faults begun and ended.
    var faultMarks = 0
    var faultsUnderWay: Set<Int> = []
    var isOver = false
  }

  private let state = Mutex(State())

  /// A fault was carried out, or may have been.
  var broke: Bool { state.withLock { $0.broke } }

  /// Differs where a fault began or ended between two looks, or goes on in one; the same where nothing was broken.
  var faultMark: Int? { state.withLock { $0.faultsUnderWay.isEmpty ? $0.faultMarks : nil } }

  /// The steps are done with; what holds all the time is asked once more.
  var isOver: Bool { state.withLock { $0.isOver } }
  func close() { state.withLock { $0.isOver = true } }

  var reports: [StepReport] { state.withLock { $0.entries.map(\.report) } }

  /// Where the test is, in words.
  var whereabouts: String {
    state.withLock { state in
      if !state.running.isEmpty {
        return "during " + state.running.sorted { $0.key < $1.key }.map(\.value).joined(separator: ", and ")
      }
      return state.latest.map { "after \($0)" } ?? "before the first step"
    }
  }

  /// The number under which the step's report will stand.
  func begin(_ step: TestStep, _ summary: String) -> Int {
    state.withLock { state in
      state.next += 1
      state.running[state.next] = summary
      state.broke = state.broke || step.isFault
      if step.isFault {
        state.faultMarks += 1
        state.faultsUnderWay.insert(state.next)
      }
      return state.next
    }
  }

  /// nil: it was broken off, and nothing can be said of it.
  func end(_ number: Int, _ report: StepReport?) {
    state.withLock { state in
      state.latest = state.running.removeValue(forKey: number) ?? state.latest
      if state.faultsUnderWay.remove(number) != nil { state.faultMarks += 1 }
      // A load that was over at once has been judged already.
      if let report, !state.entries.contains(where: { $0.number == number }) { state.entries.append((number, report)) }
    }
  }

  /// Another report in place of that of a step that has gone on since. One that decides the test stands last.
  func amend(_ number: Int, _ report: StepReport, decides: Bool) {
    state.withLock { state in
      guard let index = state.entries.firstIndex(where: { $0.number == number }) else {
        state.entries.append((number, report))
        return
      }
      state.entries[index].report = report
      if decides { state.entries.append(state.entries.remove(at: index)) }
    }
  }

  /// What held, or failed, beside the steps. Where a step has decided the test, it stays the last.
  func add(_ report: StepReport, decides: Bool) {
    state.withLock { state in
      state.next += 1
      state.entries.insert(
        (state.next, report), at: decides ? state.entries.endIndex : max(0, state.entries.endIndex - 1))
    }
  }
}

extension Findings {
  mutating func add(_ other: Findings) {
    traces += other.traces
    rates += other.rates
    traffic += other.traffic
    checks += other.checks
    nodes.formUnion(other.nodes)
  }
}
