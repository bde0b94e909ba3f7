internal import CLinux
internal import EventLoop
internal import Glibc
internal import Synchronization

/// A thread with an event loop of its own, and the letters that other threads send to it. A letter is put into a list
/// and the loop woken (eventfd); nothing is ever done while the list is locked.
final class ServerThread<Letter: Sendable>: Sendable {
  private struct State {
    var letters: [Letter] = []
    var waker: Waker?
    var isOver = false
  }

  private let state = Mutex(State())
  private let thread = Mutex<pthread_t?>(nil)
  private let abandon: @Sendable (Letter) -> Void

  private init(_ abandon: @escaping @Sendable (Letter) -> Void) { self.abandon = abandon }

  /// Starts the thread.
  /// - Parameters:
  ///   - setUp: runs on it, before anything else; what it returns is called with each letter, in order.
  ///   - abandon: called with letters that nobody will read any more.
  static func start(
    _ setUp: @escaping @Sendable (EventLoop) -> (Letter) -> Void, abandon: @escaping @Sendable (Letter) -> Void
  ) throws(SystemError) -> ServerThread {
    let server = ServerThread(abandon)
    let work = ThreadWork { server.run(setUp) }
    var thread = pthread_t()
    let retained = Unmanaged.passRetained(work)
    let failure = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<ThreadWork>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, retained.toOpaque())
    if failure != 0 {
      retained.release()
      throw SystemError("pthread_create", failure)
    }
    server.thread.withLock { $0 = thread }
    return server
  }

  /// Sends a letter. When the thread has ended, it is abandoned at once.
  func post(_ letter: Letter) {
    let (isOver, waker) = state.withLock { state in
      if !state.isOver { state.letters.append(letter) }
      return (state.isOver, state.waker)
    }
    if isOver { abandon(letter) } else { waker?.wake() }
  }

  /// Waits until the thread has ended. Not on the thread itself.
  func join() {
    guard let thread = thread.withLock({ $0.take() }) else { return }
    pthread_join(thread, nil)
  }

  private func run(_ setUp: (EventLoop) -> (Letter) -> Void) {
    do throws(SystemError) {
      let loop = try EventLoop()
      let handle = setUp(loop)
      let waker = try loop.waker { [self] in for letter in take() { handle(letter) } }
      state.withLock { $0.waker = waker }
      waker.wake()  // for what came before there was a waker
      try loop.run()
    } catch {
      // Without a loop nothing can be served; whoever sends a letter is told.
    }
    let unread = state.withLock { state in
      defer { state = State(isOver: true) }
      return state.letters
    }
    for letter in unread { abandon(letter) }
  }

  private func take() -> [Letter] {
    state.withLock { state in
      defer { state.letters = [] }
      return state.letters
    }
  }
}

/// Hands a closure through pthread_create's pointer.
private final class ThreadWork: Sendable {
  let run: @Sendable () -> Void
  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}
