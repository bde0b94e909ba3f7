// `netloom speaker`: one speaker in the foreground, without a lab.
//
// Its configuration is a serialized `SpeakerConfig`, which the netloom command made from the user's file. On SIGHUP it
// runs the command that makes that file again, and applies what it finds; when the command or the configuration fails,
// it says why and stays as it is. On SIGTERM or SIGINT it ends its sessions with Cease and exits 0.
//
// Where `fib` is off the kernel is not touched, and every next hop counts as reachable.

internal import CLinux
import Glibc
internal import ControlProtocol
internal import SwiftProtobuf
internal import EventLoop

final class Standalone {
  private let loop: EventLoop
  private let log: Log
  private let path: String
  private let reloadCommand: [String]
  private let node: Node
  private var isReloading = false
  private var mustReloadAgain = false

  init(
    loop: EventLoop, log: Log, path: String, reloadCommand: [String], listeners: [Int32]
  ) throws {
    self.loop = loop
    self.log = log
    self.path = path
    self.reloadCommand = reloadCommand
    let configuration = try Self.read(path)
    node = try Node(loop: loop, log: log, listeners: listeners, kernel: configuration.fib)
    try node.apply(configuration)
    log.info("speaker: AS \(configuration.asn), \(configuration.neighbors.count) neighbors, ready")
  }

  private static func read(_ path: String) throws(Refusal) -> NLSpeakerConfig {
    do {
      return try NLSpeakerConfig(serializedBytes: try SmallFile.read(path))
    } catch {
      throw Refusal(path, "\(error)")
    }
  }

  func stop(done: @escaping () -> Void) { node.stop(reason: "", done: done) }

  /// Once at a time; one more after that when asked meanwhile.
  func reload() {
    guard !isReloading else {
      mustReloadAgain = true
      return
    }
    guard !reloadCommand.isEmpty else { return applyFile() }
    isReloading = true
    do throws(SystemError) {
      let pid = try Self.spawn(reloadCommand)
      try loop.onExit(ofChild: pid) { [weak self] in self?.reloadCommandEnded($0) }
    } catch {
      isReloading = false
      log.error("reload: \(error); the configuration stays as it is")
    }
  }

  private func reloadCommandEnded(_ exit: ProcessExit) {
    isReloading = false
    if exit == .exited(0) {
      applyFile()
    } else {
      log.error("reload: \(reloadCommand.joined(separator: " ")): \(exit); the configuration stays as it is")
    }
    if mustReloadAgain {
      mustReloadAgain = false
      reload()
    }
  }

  private func applyFile() {
    do throws(Refusal) {
      try node.apply(try Self.read(path))
      log.info("reload: done")
    } catch {
      log.error("reload: \(error); the configuration stays as it is")
    }
  }

  /// Its messages go where ours go.
  private static func spawn(_ words: [String]) throws(SystemError) -> Int32 {
    var arguments = words.map { word in strdup(word) }
    arguments.append(nil)
    defer { for argument in arguments { free(argument) } }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    var pid: pid_t = 0
    let failure = posix_spawnp(&pid, words[0], nil, &attributes, &arguments, Glibc.environ)
    guard failure == 0 else { throw SystemError("posix_spawn", failure, words[0]) }
    return pid
  }
}
