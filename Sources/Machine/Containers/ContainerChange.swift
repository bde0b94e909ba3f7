// A running node's image is changed:
//
//   fetch ─► drained ─► stop the old ─► start the new ─► ready ─► the new one stays, the old one's layer goes
//     │                                     │ ended, or not ready in time
//     └► nothing has happened               └─► stop the new ─► start the old, in the layer it had ─► ready
//
// The caller has taken the node's endpoint out of the mesh before, and puts it back after the answer.
import ControlProtocol
import EventLoop
import Netlink
import SwiftProtobuf

final class ContainerChange {
  typealias Answer = (Result<NLContainerState, BuildError>) -> Void

  private enum Phase { case fetching, draining, stopping, starting, stoppingNew, restoring }

  private unowned let container: Container
  private let order: NLSetImage
  private let old: Container.Version?
  private let deadline: UInt64
  private var phase = Phase.fetching
  private var timer: LoopTimer?
  private var drain: DrainWait?
  private var failure = ""
  private var answer: Answer?
  /// What the supervisor runs, once it runs anything of this change.
  private(set) var launched: Container.Version?

  /// Time for a program to end by itself, and for the old one to be ready again.
  private static let grace: UInt64 = 5_000_000_000
  /// Longest wait for requests that are under way.
  private static let draining: UInt64 = 10_000_000_000
  private static let restoring: UInt64 = 30_000_000_000

  init(_ container: Container, _ order: NLSetImage, _ answer: @escaping Answer) {
    self.container = container
    self.order = order
    self.answer = answer
    old = container.current
    deadline = EventLoop.clock() + EventLoop.milliseconds(UInt64(order.withinMs))
  }

  private var loop: EventLoop { container.lab.loop }

  func start() {
    let seconds = max(1, UInt64(order.withinMs) / 1000)
    container.fetch(order.image, within: seconds, awaits: false) { [self] result in
      guard answer != nil else { return }
      switch result {
      case .success(let fetched): begin(fetched)
      case .failure(let error): finish(.failure(error))
      }
    }
  }

  private func begin(_ fetched: FetchedImage) {
    let environment =
      order.replacesEnvironment ? order.environment : old?.environment ?? container.node.plan.environment
    do throws(BuildError) {
      let new = try container.version(order.image, environment, fetched)
      container.become(.changing)
      guard order.drained, old != nil else { return stop(for: new) }
      phase = .draining
      let node = container.node
      drain = DrainWait(
        loop, network: node.namespace.fileDescriptor, sidecar: node.plan.sidecar, atMost: Self.draining
      ) { [weak self] in self?.stop(for: new) }
      drain?.start()
    } catch {
      finish(.failure(error))
    }
  }

  private func stop(for new: Container.Version) {
    guard answer != nil, phase == .fetching || phase == .draining else { return }
    phase = .stopping
    container.stop(grace: Self.grace) { [weak self] in self?.stopped(new) }
  }

  private func stopped(_ new: Container.Version) {
    guard answer != nil, phase == .stopping else { return }
    container.dropSupervisor()
    phase = .starting
    launched = new
    timer = LoopTimer(loop) { [weak self] in self?.timeIsUp() }
    timer?.arm(at: deadline)
    container.launch(new)
  }

  // MARK: What becomes of what was started

  func ready() {
    switch phase {
    case .starting:
      guard let new = launched else { return }
      timer?.cancel()
      container.change = nil
      container.settle(on: new, .ready)
      finish(.success(container.report))
    case .restoring:
      restored("\(old?.image ?? "") runs again")
    case .fetching, .draining, .stopping, .stoppingNew: break
    }
  }

  func ended(because reason: String) {
    switch phase {
    case .starting: giveUp(reason)
    case .restoring: restored("and \(old?.image ?? "what ran before") does not run again: \(reason)", .failed)
    case .fetching, .draining, .stopping, .stoppingNew: break
    }
  }

  private func timeIsUp() {
    switch phase {
    case .starting: giveUp("it was not ready within \(Self.seconds(order.withinMs)): \(container.obstacle)")
    case .restoring:
      restored("and \(old?.image ?? "what ran before") is not ready again: \(container.obstacle)", .starting)
    case .fetching, .draining, .stopping, .stoppingNew: break
    }
  }

  private func giveUp(_ reason: String) {
    timer?.cancel()
    failure = reason
    phase = .stoppingNew
    container.stop(grace: Self.grace) { [weak self] in self?.restore() }
  }

  private func restore() {
    guard answer != nil, phase == .stoppingNew else { return }
    container.dropSupervisor()
    if let launched { Folder.remove(launched.bundle.directory) }
    guard let old else {
      container.change = nil
      let text = "\(order.image): \(failure); nothing ran before"
      container.startFailed(text)
      return finish(.failure(BuildError(text)))
    }
    phase = .restoring
    launched = old
    timer?.arm(after: Self.restoring)
    container.launch(old)
  }

  private func restored(_ outcome: String, _ state: Container.State = .ready) {
    timer?.cancel()
    container.change = nil
    let text = "\(order.image): \(failure); \(outcome)"
    container.become(state, because: text)
    finish(.failure(BuildError(text)))
  }

  /// The node was switched off in the middle: what runs when it is started is what ran before.
  func abandon() {
    timer?.cancel()
    finish(.failure(BuildError("node \(container.node.name) was switched off meanwhile")))
  }

  private func finish(_ result: Result<NLContainerState, BuildError>) {
    if container.change === self { container.change = nil }
    let answer = answer
    self.answer = nil
    answer?(result)
  }

  private static func seconds(_ milliseconds: UInt32) -> String {
    milliseconds % 1000 == 0 ? "\(milliseconds / 1000) s" : "\(milliseconds) ms"
  }
}

extension Container {
  /// Runs the image from now on. Refused: a change is under way.
  func change(_ order: NLSetImage, _ answer: @escaping ContainerChange.Answer) {
    guard change == nil else {
      return answer(.failure(BuildError("another change of the image of \(node.name) is under way")))
    }
    let change = ContainerChange(self, order, answer)
    self.change = change
    change.start()
  }
}
