import ArgumentParser
import Glibc
import Lab
import NorthboundAPI
import NorthboundClient

struct MeshTapCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tap",
    abstract: "Requests of the mesh as they end: who asked whom, what came of it, and who refused.",
    discussion: """
      EXAMPLES:
        netloom mesh tap                              everything, until Ctrl-C
        netloom mesh tap client web --status 5xx
        netloom mesh tap --service web --path /cart --count 10 -o json

      A line per request (of services of protocol tcp: per connection), told by the client's sidecar,
      by the server's where the client has none of netloom's. Requests that there was no room for are
      counted on stderr. While nobody taps, nothing is recorded.
      """)

  @Argument(help: "The pod or service that asks, or LAB/NAME.")
  var from: String?

  @Argument(help: "The service, or the pod that answers.")
  var to: String?

  @Option(help: ArgumentHelp("The service; the same as TO.", valueName: "service"))
  var service: String?

  @Option(help: ArgumentHelp("Only paths that begin with these segments.", valueName: "path"))
  var path: String?

  @Option(help: ArgumentHelp("Only this method.", valueName: "method"))
  var method: String?

  @Option(help: ArgumentHelp("Only this status, or class (5xx).", valueName: "status"))
  var status: String?

  @Option(help: ArgumentHelp("Ends after so many.", valueName: "requests"))
  var count: Int?

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if to != nil, service != nil { throw ValidationError("TO and --service are the same; expected one of them") }
    if let count, count < 1 { throw ValidationError("--count is \(count), expected 1 or more") }
    if let path, !path.hasPrefix("/") { throw ValidationError("--path \(path): expected a path such as /cart") }
    if let status, status.wholeMatch(of: /[1-5](xx|[0-9][0-9])/) == nil {
      throw ValidationError("--status \(status): expected a status such as 503, or a class such as 5xx")
    }
  }

  func run() async throws {
    let (lab, name): (Lab, String?) = if let from { try common.find(from) } else { (try common.find(), nil) }
    let query = MeshTapQuery(from: name, to: to ?? service, path: path, method: method, status: status)
    let palette = Palette(color: common.appearance.color)
    var shown = 0
    try await lab.naming { client in
      try await client.tapMesh(query) { item in
        switch item {
        case .request(let event):
          if common.json { try Output.jsonLine(event) } else { Output.line(MeshText(palette: palette).line(event)) }
          shown += 1
        case .dropped(let loss):
          let place = loss.pod.map { "the sidecar of \($0)" } ?? "the controller"
          Output.error("\(loss.count) requests not shown: no room in \(place)")
        case .absent(let absence):
          Output.error("\(absence.pod) cannot be tapped: \(absence.reason)")
        case .quiet: break
        }
        return count.map { shown < $0 } ?? true
      }
    }
  }
}

extension MeshText {
  /// `12:00:00.123 client → web-1 (web v1) GET web/x 200 1.2 ms 12 B/345 B`
  func line(_ event: MeshTapEvent) -> String {
    let place = [event.to, event.version].compactMap { $0 }.joined(separator: " ")
    var words = [Self.timeOfDay(event.at), event.from, "→", event.pod ?? event.endpoint ?? "-", "(\(place))"]
    if let method = event.method {
      words += [method, (event.authority ?? "") + (event.path ?? "")]
    } else {
      words.append(event.proto)
    }
    if let status = event.status { words.append(paint(status)) }
    words += ["\(fixed(event.ms, 1)) ms", "\(event.bytesToServer) B/\(event.bytesToClient) B"]
    if let attempts = event.attempts, attempts > 1 { words.append("\(attempts) attempts") }
    if let refused = event.refused { words.append(palette.red("refused by \(refused)")) }
    words.append(event.server == nil ? "plain" : "mtls")
    if let trace = event.trace { words.append("trace=\(trace)") }
    return words.joined(separator: " ")
  }

  private func paint(_ status: Int) -> String {
    switch status {
    case 0: palette.yellow("gone")
    case 500...: palette.red("\(status)")
    case 400...: palette.yellow("\(status)")
    default: palette.green("\(status)")
    }
  }

  private static func timeOfDay(_ nanoseconds: UInt64) -> String {
    var seconds = time_t(nanoseconds / 1_000_000_000)
    var parts = tm()
    localtime_r(&seconds, &parts)
    func digits(_ value: Int, _ width: Int) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, width - text.count)) + text
    }
    let clock = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { digits(Int($0), 2) }.joined(separator: ":")
    return clock + "." + digits(Int(nanoseconds % 1_000_000_000 / 1_000_000), 3)
  }
}
