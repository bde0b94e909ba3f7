import CLinux
import Glibc
import ControlProtocol
import EventLoop
import Relay

/// `netloom-machine --run DIR [--ready FD] [--lock FD]`; `netloom-machine --relay FD` is what it starts for links that
/// declare a delay, `netloom-machine --container DIR` for a node with an image.
public enum MachineProgram {
  public static func main(_ arguments: [String]) -> Int32 {
    if arguments.dropFirst().first == "--relay" { return RelayProgram.main(Array(arguments.dropFirst(2))) }
    if arguments.dropFirst().first == "--container" { return ContainerProgram.main(Array(arguments.dropFirst(2))) }
    do throws(BuildError) {
      var launcher = Launcher(try Options(arguments))
      return launcher.run()
    } catch {
      let line = Array("netloom-machine: \(error)\n".utf8)
      _ = write(2, line, line.count)
      return 3
    }
  }
}

struct Options {
  var directory = RunDirectory(path: "")
  /// Where to report progress, `ready` or an error, one line each; -1: nowhere.
  var ready: Int32 = -1
  /// An open file of the lab's `lock`, locked already by the one who started us; -1: lock it ourselves.
  var lock: Int32 = -1

  init(_ arguments: [String]) throws(BuildError) {
    var rest = arguments.dropFirst()
    while let option = rest.popFirst() {
      guard let value = rest.popFirst() else {
        throw BuildError("usage: netloom-machine --run DIR [--ready FD] [--lock FD]")
      }
      switch option {
      case "--run":
        directory = RunDirectory(path: value.count > 1 && value.hasSuffix("/") ? String(value.dropLast()) : value)
      case "--ready": ready = try Self.descriptor(value)
      case "--lock": lock = try Self.descriptor(value)
      default: throw BuildError("unknown option \(option); usage: netloom-machine --run DIR [--ready FD] [--lock FD]")
      }
    }
    guard directory.path.hasPrefix("/") else { throw BuildError("--run wants the absolute path of a run directory") }
  }

  private static func descriptor(_ text: String) throws(BuildError) -> Int32 {
    guard let number = Int32(text), number > 2, nl_get_flags(number) >= 0 else {
      throw BuildError("\(text) is not an open descriptor")
    }
    return number
  }
}
