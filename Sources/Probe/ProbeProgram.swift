import CLinux
import EventLoop
import Glibc

/// The program: serves a controller (`--run DIR`) or captures for `netloom capture`.
public enum ProbeProgram {
  /// - Returns: the exit code: 0 done, 2 usage, 3 environment.
  public static func main(_ arguments: [String]) -> Int32 {
    var rest = arguments.dropFirst()
    if rest.contains("--help") || rest.contains("-h") {
      _ = Array(usage.utf8).withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
      return 0
    }
    if rest.first == "capture" {
      rest = rest.dropFirst()
      return CaptureCommand.main(Array(rest))
    }
    var options: [String: String] = [:]
    while let option = rest.popFirst() {
      guard ["--run", "--machine"].contains(option), let value = rest.popFirst() else {
        return fail("unknown or incomplete option \(option)")
      }
      options[option] = value
    }
    guard let directory = options["--run"] else { return fail("--run DIR or capture is missing") }
    return serve(directory, options["--machine"] ?? "local")
  }

  private static func serve(_ directory: String, _ machine: String) -> Int32 {
    do {
      let loop = try EventLoop()
      try loop.onSignals([SIGTERM, SIGINT]) { _ in loop.stop() }
      signal(SIGPIPE, SIG_IGN)
      let service = try ProbeService(loop, runDirectory: directory, machine: machine)
      try withExtendedLifetime(service) { try loop.run() }
      return 0
    } catch {
      writeError("netloom-probe: \(error)\n")
      return 3
    }
  }

  static func fail(_ reason: String) -> Int32 {
    writeError("netloom-probe: \(reason); see netloom-probe --help\n")
    return 2
  }

  private static let usage = """
    netloom-probe --run DIR [--machine NAME]
        Serves traces to the controller of the lab whose run directory is DIR.

    netloom-probe capture --point NODE:IFACE:IFINDEX:PID... [options]
        Captures on interfaces of nodes. PID names the node's network namespace (/proc/PID/ns/net as this process sees
        it); IFINDEX is for people and may be 0.
        --describe TEXT    description of the point before it (if_description)
        --filter EXPR      pcap-filter(7) expression
        --write FILE|-     one merged pcapng; without it one line per packet on stdout
        --for SECONDS      ends by itself (fractions allowed); otherwise SIGINT or SIGTERM end it
        --snaplen N        bytes kept of each packet (262144)
        --buffer BYTES     kernel ring per interface (4194304)
        Writes a line "capturing" with the number of interfaces to stderr when every capture is open, and a summary
        with packets and drops per interface at the end. Exit code 0 when it ended as asked, 2 usage or filter,
        3 nothing could be captured.

    """
}
