import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient

struct MeshCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mesh",
    abstract: "The service mesh: what its sidecars have, who gets which requests, and why.",
    subcommands: [
      MeshStatusCommand.self, MeshEdgesCommand.self, MeshTapCommand.self, MeshSplitCommand.self,
      MeshExplainCommand.self,
    ])
}

struct MeshStatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Services, and what each sidecar was sent and has acknowledged.",
    discussion: """
      EXAMPLES:
        netloom mesh status
        netloom mesh status -o json | jq '.sidecars[] | select(.state != "current")'

      Exit codes: 0 every sidecar has the newest configuration; 1 one lags, refused it or is not connected.
      """)

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let lab = try common.find()
    let status = try await lab.naming { try await $0.mesh() }
    if common.json {
      try Output.json(status)
    } else {
      MeshText(palette: Palette(color: common.appearance.color)).lines(status, verbose: common.appearance.verbose)
        .forEach(Output.line)
    }
    if !status.converged { throw Exit(code: 1) }
  }
}

struct MeshSplitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "split",
    abstract: "Divide the requests of a service among its versions; returns when every sidecar has acknowledged.",
    discussion: """
      EXAMPLES:
        netloom mesh split web v1=80 v2=20
        netloom mesh split web v2=1            everything to v2

      The weights stand in place of those in the routes until the next split. Versions that are not named get nothing.
      Exit codes: 0 live on every sidecar; 1 one refused it, is not connected or did not answer within 10 s.
      """)

  @Argument(help: "The service, or LAB/SERVICE.")
  var service: String

  @Argument(help: ArgumentHelp("How much each version gets.", valueName: "version=weight"))
  var weights: [String]

  @OptionGroup var common: CommonOptions

  func validate() throws { _ = try parsed() }

  private func parsed() throws -> [String: Int] {
    var result: [String: Int] = [:]
    for text in weights {
      let parts = text.split(separator: "=", omittingEmptySubsequences: false)
      guard parts.count == 2, !parts[0].isEmpty, let weight = Int(parts[1]), weight >= 0 else {
        throw ValidationError("\(text): expected VERSION=WEIGHT, such as v2=20")
      }
      guard result.updateValue(weight, forKey: String(parts[0])) == nil else {
        throw ValidationError("\(parts[0]) stands twice")
      }
    }
    return result
  }

  func run() async throws {
    let (lab, name) = try common.find(service)
    let request = MeshSplitRequest(service: name, weights: try parsed())
    let change = try await lab.naming { try await $0.splitMesh(request) }
    if common.json { try Output.json(change) } else { MeshText.lines(change).forEach(Output.line) }
    if !change.isLive { throw Exit(code: 1) }
  }
}

struct MeshExplainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "What becomes of a request: route, endpoints, policy, identity, and the network path under it.",
    discussion: """
      EXAMPLES:
        netloom mesh explain client web
        netloom mesh explain client web "GET /cart?id=1"
        netloom mesh explain client web "POST /cart" --header "x-canary: yes"

      The path of each endpoint is proven with packets, as `netloom trace` does.
      Exit codes: 0 it is served; 1 it is not.
      """)

  @Argument(help: "The pod that asks, or LAB/POD.")
  var from: String

  @Argument(help: "The service.")
  var to: String

  @Argument(help: ArgumentHelp("METHOD PATH; GET / unless said.", valueName: "request"))
  var request: String?

  @Option(
    name: .customLong("header"), parsing: .singleValue,
    help: ArgumentHelp("A header field of the request; may be repeated.", valueName: "name: value"))
  var headers: [String] = []

  @OptionGroup var common: CommonOptions

  func validate() throws { _ = try (parsedRequest(), parsedHeaders()) }

  private func parsedRequest() throws -> (method: String, path: String) {
    guard let request else { return ("GET", "/") }
    let parts = request.split(separator: " ").map(String.init)
    switch parts.count {
    case 1 where parts[0].hasPrefix("/"): return ("GET", parts[0])
    case 2 where parts[1].hasPrefix("/"): return (parts[0], parts[1])
    default: throw ValidationError("\(request): expected METHOD PATH, such as \"GET /cart\"")
    }
  }

  private func parsedHeaders() throws -> [String: String] {
    var result: [String: String] = [:]
    for header in headers {
      guard let colon = header.firstIndex(of: ":"), colon > header.startIndex else {
        throw ValidationError("\(header): expected NAME: VALUE")
      }
      let value = header[header.index(after: colon)...].drop { $0 == " " }
      result[header[..<colon].lowercased()] = String(value)
    }
    return result
  }

  func run() async throws {
    let (lab, pod) = try common.find(from)
    let (method, path) = try parsedRequest()
    let query = MeshExplainRequest(from: pod, to: to, method: method, path: path, headers: try parsedHeaders())
    let explanation = try await lab.naming { try await $0.explainMesh(query) }
    if common.json {
      try Output.json(explanation)
    } else {
      MeshText(palette: Palette(color: common.appearance.color)).lines(explanation).forEach(Output.line)
    }
    if !explanation.served { throw Exit(code: 1) }
  }
}

extension MeshChange {
  var isLive: Bool { refused.isEmpty && lagging.isEmpty && absent.isEmpty }
}
