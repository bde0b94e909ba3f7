import EventLoop
import Glibc

extension SidecarProgram {
  /// Follows a control plane until SIGTERM or SIGINT.
  static func run(_ mode: DiscoveryMode) -> Int32 {
    raiseDescriptorLimit()
    do {
      let loop = try EventLoop()
      var draining = false
      var sidecar: Sidecar?
      let drained = try loop.waker { loop.stop() }
      // Before the workers start, so that they inherit the mask.
      try loop.onSignals([SIGTERM, SIGINT]) { _ in
        if draining { return loop.stop() }
        draining = true
        sidecar?.drain { drained.wake() }
      }
      let mark = DiscoveryMode.availableMark()
      if mark == 0 { say("may not set SO_MARK: where connections are intercepted, its own would be too") }
      let base = mode.base(mark: mark)
      let started = try Sidecar(base, workers: mode.workers, tracing: mode.tracing) { say($0) }
      sidecar = started
      let admin = try AdminServer(loop, mode.admin, started)
      admin.isReady = false
      if !mode.control.isEmpty { try admin.listen(unix: mode.control) }
      let exporter = try mode.tracing.map { try SpanExporter(loop, $0, started) }
      let session = DiscoverySession(node: mode.node, base, mode.isTransparent ? .transparent : .redirected)
      let client = DiscoveryClient(loop, mode.socket, session, started) { say($0) }
      client.onReady = { [weak admin] in
        admin?.isReady = true
        announceReady()
      }
      client.start()
      try loop.run()
      client.stop()
      started.stop()
      withExtendedLifetime((admin, exporter)) {}
      return 0
    } catch {
      say("\(error)")
      return 1
    }
  }
}
