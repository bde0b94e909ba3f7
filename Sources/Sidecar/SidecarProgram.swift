import CLinux
import EventLoop
import Glibc
import NetTypes

/// The program netloom-sidecar: reads its command line, serves, drains on SIGTERM or SIGINT.
public enum SidecarProgram {
  /// Runs to the end.
  /// - Returns: the exit status: 0 after a drain, 2 for a bad command line, 1 for everything else.
  public static func main(_ arguments: [String]) -> Int32 {
    let options = Array(arguments.dropFirst())
    do throws(StaticMode.UsageError) {
      return options.contains("--xds") ? run(try DiscoveryMode(options)) : run(try StaticMode(options))
    } catch {
      say("\(error.text)\n\(DiscoveryMode.usage)\n\(StaticMode.usage)")
      return 2
    }
  }

  private static func run(_ mode: StaticMode) -> Int32 {
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
      let started = try Sidecar(try mode.configuration(), workers: mode.workers, tracing: mode.tracing) { say($0) }
      sidecar = started
      let admin = try mode.admin.map { try AdminServer(loop, $0, started) }
      if !mode.control.isEmpty { try admin?.listen(unix: mode.control) }
      let exporter = try mode.tracing.map { try SpanExporter(loop, $0, started) }
      announceReady()
      try loop.run()
      started.stop()
      withExtendedLifetime((admin, exporter)) {}
      return 0
    } catch {
      say("\(error)")
      return 1
    }
  }

  /// One line on descriptor 3, where whoever started this program has given it one.
  static func announceReady() {
    guard nl_get_flags(3) >= 0 else { return }
    var status = stat()
    guard fstat(3, &status) == 0, [S_IFIFO, S_IFSOCK].contains(status.st_mode & S_IFMT) else { return }
    _ = Glibc.write(3, "ready\n", 6)
    _ = Glibc.close(3)
  }

  static func raiseDescriptorLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }

  @Sendable static func say(_ text: String) {
    let bytes = Array("netloom-sidecar: \(text)\n".utf8)
    _ = Glibc.write(2, bytes, bytes.count)
  }
}
