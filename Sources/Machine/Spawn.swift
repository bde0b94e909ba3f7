import CLinux
import Glibc
import EventLoop

/// A program to start: what, in which namespaces, with which descriptors. -1 means: as netloom-machine has it.
struct SpawnRequest {
  var argv: [String]
  /// KEY=VALUE; of two with one key the later one counts.
  var environment: [String] = []
  var directory: String?
  var network: Int32 = -1
  var mounts: NodeMounts?
  /// The uts namespace alone, where `mounts` is nil.
  var names: Int32 = -1
  var input: Int32 = -1
  var output: Int32 = -1
  var error: Int32 = -1
  /// Descriptors that keep their numbers in the new program.
  var keep: [Int32] = []
  /// The input is a terminal and becomes the controlling one.
  var terminal = false
  var user: DaemonUser?
  /// Soft limit of open files; netloom-machine's own is raised.
  var openFiles: UInt64 = 0
}

/// Who a daemon runs as, when not as root.
struct DaemonUser: Equatable {
  let uid: UInt32
  let gid: UInt32
}

/// Why a program could not be started, in the words a shell would use.
struct SpawnError: Error, CustomStringConvertible {
  let program: String
  let code: Int32
  let stage: nl_spawn_stage

  /// As a shell exits: 127 when there is no such command, 126 when it cannot be run.
  var exitCode: Int32 { stage == NL_SPAWN_EXEC && (code == ENOENT || code == ENOTDIR) ? 127 : 126 }

  var description: String {
    let text = SystemError("", code).text
    switch stage {
    case NL_SPAWN_EXEC where code == ENOENT && !program.contains("/"): return "\(program): command not found"
    case NL_SPAWN_EXEC: return "\(program): \(text)"
    case NL_SPAWN_CLONE: return "cannot start \(program): clone: \(text)"
    case NL_SPAWN_NET: return "cannot start \(program): entering the network namespace: \(text)"
    case NL_SPAWN_MOUNT, NL_SPAWN_UTS: return "cannot start \(program): entering the node's mounts: \(text)"
    case NL_SPAWN_USER: return "cannot start \(program): changing the user: \(text)"
    case NL_SPAWN_TERMINAL: return "cannot start \(program): taking the terminal: \(text)"
    default: return "cannot start \(program): \(text)"
    }
  }
}

extension SpawnRequest {
  /// Starts it; returns when the new program runs (or could not be run). The pid leads its own session and group.
  func start() throws(SpawnError) -> Int32 {
    let arguments = CStrings(argv)
    let variables = CStrings(Self.merged(environment))
    let folder = CStrings(directory.map { [$0] } ?? [])
    var stage: Int32 = 0
    let pid = keep.withUnsafeBufferPointer { kept in
      var process = nl_process()
      process.argv = UnsafePointer(arguments.pointer)
      process.envp = UnsafePointer(variables.pointer)
      process.directory = UnsafePointer(folder.pointer[0])
      (process.net, process.mount, process.uts) = (network, mounts?.mount ?? -1, mounts?.names ?? names)
      (process.input, process.output, process.error) = (input, output, error)
      process.keep = kept.baseAddress
      process.keep_count = Int32(kept.count)
      process.terminal = terminal ? 1 : 0
      process.uid = user?.uid ?? .max
      process.gid = user?.gid ?? .max
      process.open_files = openFiles
      return nl_spawn(&process, &stage)
    }
    if pid > 0 { return pid }
    throw SpawnError(
      program: argv.first ?? "", code: SystemError.last("clone").code, stage: nl_spawn_stage(rawValue: UInt32(stage)))
  }

  /// One entry per key, the last one, in the place of the first.
  static func merged(_ environment: [String]) -> [String] {
    var places: [Substring: Int] = [:]
    var result: [String] = []
    for entry in environment {
      let key = entry.prefix { $0 != "=" }
      if let place = places[key] {
        result[place] = entry
      } else {
        places[key] = result.count
        result.append(entry)
      }
    }
    return result
  }
}

/// A zero-terminated array of C strings that lives as long as this object.
private final class CStrings {
  let pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private let count: Int

  init(_ strings: [String]) {
    count = strings.count
    pointer = .allocate(capacity: count + 1)
    for (index, string) in strings.enumerated() { (pointer + index).initialize(to: strdup(string)) }
    (pointer + count).initialize(to: nil)
  }

  deinit {
    for index in 0..<count { free(pointer[index]) }
    pointer.deallocate()
  }
}
