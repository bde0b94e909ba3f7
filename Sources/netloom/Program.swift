// The command line: words in, one of the modules asked, tables or JSON out. Nothing is decided here.
//
//   Program ─► Netloom (ArgumentParser) ─► a command ─► Lab, Scenario, Topology, NorthboundClient
//
// Exit codes: 0 it holds, 1 the thing asked for did not hold, 2 usage or file, 3 environment. Errors are one line on
// stderr that says what to do next.

import ArgumentParser
import Glibc

/// On the main thread: what is not asynchronous runs while the process has no other (fork and signal masks want that).
@main
@MainActor
enum Program {
  static func main() async {
    let arguments = Array(CommandLine.arguments.dropFirst())
    signal(SIGPIPE, SIG_IGN)
    exit(await run(arguments))
  }

  private static func run(_ arguments: [String]) async -> Int32 {
    if let refusal = refusedWord(arguments) {
      Output.error(refusal)
      return 2
    }
    do {
      var command = try Netloom.parseAsRoot(arguments)
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
      return 0
    } catch {
      return report(error)
    }
  }

  private static func report(_ error: any Error) -> Int32 {
    if let code = Failure.report(error) { return code }
    let code = Netloom.exitCode(for: error)
    if code.isSuccess {
      Output.line(Netloom.fullMessage(for: error))
      return 0
    }
    let message = Netloom.message(for: error)
    if code == .validationFailure {
      let line = message.split(separator: "\n").first.map(String.init) ?? "wrong usage"
      Output.error("\(line); see: netloom \(commandName().map { $0 + " " } ?? "")--help")
      return 2
    }
    if !message.isEmpty { Output.error(message) }
    return code.rawValue
  }

  /// The subcommand as it was typed, for a hint.
  private static func commandName() -> String? {
    CommandLine.arguments.dropFirst().first { Netloom.words.contains($0) }
  }

  /// A first word that is no command: a slip of the fingers.
  private static func refusedWord(_ arguments: [String]) -> String? {
    guard let word = arguments.first, !word.hasPrefix("-"), !Netloom.words.contains(word) else { return nil }
    let hint = nearest(to: word, in: Netloom.words).map { ", did you mean \($0)?" } ?? "; see: netloom --help"
    return "there is no command \(word)\(hint)"
  }
}
