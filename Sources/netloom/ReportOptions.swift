import ArgumentParser
import FoundationEssentials
import Glibc
import Lab
import Reports
import Scenario

/// Which reports `netloom test` writes, and where.
struct ReportOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Write a JUnit report.", valueName: "file"), completion: .file(extensions: ["xml"]))
  var junit: String?

  @Option(help: ArgumentHelp("Write TAP version 14.", valueName: "file"), completion: .file())
  var tap: String?

  @Option(
    help: ArgumentHelp("Write one page that needs nothing else: drawings, paths, plots, timelines.", valueName: "file"),
    completion: .file(extensions: ["html"]))
  var html: String?

  @Option(
    help: ArgumentHelp("Write a summary in Markdown (also appended to $GITHUB_STEP_SUMMARY).", valueName: "file"),
    completion: .file(extensions: ["md"]))
  var markdown: String?

  @Option(
    help: ArgumentHelp("Write SARIF 2.1.0: leaks and what else did not hold.", valueName: "file"),
    completion: .file(extensions: ["sarif"]))
  var sarif: String?

  @Option(
    help: ArgumentHelp("Write a Code Quality report for GitLab.", valueName: "file"),
    completion: .file(extensions: ["json"]))
  var gitlab: String?

  @Option(
    help: ArgumentHelp(
      "github: workflow commands on stdout; gitlab: gl-code-quality-report.json; none: nothing that was not asked for. "
        + "Unless said: github where GITHUB_ACTIONS=true.", valueName: "forge"))
  var annotations: Annotations?

  enum Annotations: String, ExpressibleByArgument, CaseIterable { case github, gitlab, none }

  /// Refuses what cannot be written, before long work.
  func prepared(jsonOnStdout: Bool) throws -> ReportOutputs {
    let environment = ProcessInfo.processInfo.environment
    let chosen = annotations ?? (environment["GITHUB_ACTIONS"] == "true" ? .github : Annotations.none)
    let directory = Output.currentDirectory
    let root = environment["GITHUB_WORKSPACE"] ?? environment["CI_PROJECT_DIR"] ?? directory
    let paths = RepositoryPaths(root: root, directory: directory)
    var files: [ReportOutputs.File] = []
    func add(_ path: String?, _ text: @escaping ([FileReport]) throws -> String) {
      if let path { files.append(.init(path: path, text: text)) }
    }
    add(junit) { JUnitDocument($0).xml() }
    add(tap) { TAPDocument($0).text() }
    add(html) { [html] in HTMLReport($0, path: html ?? "", directory: directory).html() }
    add(markdown) { MarkdownSummary($0).text() }
    add(sarif) { try SARIFDocument($0, paths: paths).json() }
    add(gitlab ?? (chosen == .gitlab ? "gl-code-quality-report.json" : nil)) {
      try GitLabCodeQuality($0, paths: paths).json()
    }
    for file in files { try Paths.checkWritable(file.path) }
    return ReportOutputs(
      files: files, annotations: chosen == .github ? paths : nil,
      summary: annotations == Annotations.none
        ? nil : environment["GITHUB_STEP_SUMMARY"].flatMap { $0.isEmpty ? nil : $0 },
      // The runner reads commands from both; stdout stays one document.
      toStderr: jsonOnStdout)
  }
}

/// The reports that a run leaves behind.
struct ReportOutputs {
  struct File {
    var path: String
    var text: ([FileReport]) throws -> String
  }

  let files: [File]
  /// nil: none.
  let annotations: RepositoryPaths?
  /// $GITHUB_STEP_SUMMARY
  let summary: String?
  let toStderr: Bool
  /// While the work lasts nothing that a lab prints is a command for the forge's runner.
  func guarding<Value>(_ work: () async throws -> Value) async throws -> Value {
    guard annotations != nil else { return try await work() }
    let suspension = GitHubAnnotations.suspension(token: String(UInt64.random(in: .min ... .max), radix: 16))
    line(suspension.begin)
    defer { line(suspension.end) }
    return try await work()
  }

  /// Writes all; what cannot be written is said and keeps no other from being written. False: something could not.
  func write(_ reports: [FileReport]) -> Bool {
    var whole = true
    for file in files {
      do {
        try Paths.replace(file.path, with: try file.text(reports))
      } catch {
        Output.error((error as? LabError)?.message ?? "cannot write \(file.path): \(error)")
        whole = false
      }
    }
    if let annotations { GitHubAnnotations(reports, paths: annotations).lines().forEach(line) }
    if let summary {
      do {
        try Paths.append(MarkdownSummary(reports).text(), to: summary)
      } catch {
        // Nobody asked for it: a warning.
        Output.note("warning: \(error.message)")
      }
    }
    return whole
  }

  private func line(_ text: String) { if toStderr { Output.note(text) } else { Output.line(text) } }
}

extension Paths {
  /// Writes a file whole or leaves the one that was there: a reader never sees half of it. What is no regular file, such
  /// as a pipe, is written into.
  static func replace(_ path: String, with text: String) throws(LabError) {
    var status = stat()
    let exists = stat(path, &status) == 0
    if exists, status.st_mode & S_IFMT != S_IFREG { return try write(text, to: path) }
    let target = resolved(path)
    let draft = "\(target).\(getpid()).tmp"
    do {
      try write(text, to: draft)
    } catch {
      unlink(draft)
      throw LabError(error.kind, error.message.replacing(draft, with: path))
    }
    if exists { chmod(draft, status.st_mode & 0o7777) }
    guard rename(draft, target) == 0 else {
      let reason = String(cString: strerror(errno))
      unlink(draft)
      throw LabError(.environment, "cannot write \(path): \(reason)")
    }
  }

  /// At the end of a file that others write too.
  static func append(_ text: String, to path: String) throws(LabError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw LabError(.environment, "cannot write \(path): \(String(cString: strerror(errno)))")
    }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    var written = 0
    while written < bytes.count {
      let count = bytes[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno != EINTR {
        throw LabError(.environment, "cannot write \(path): \(String(cString: strerror(errno)))")
      }
      written += max(0, count)
    }
  }

  /// A link stays a link.
  private static func resolved(_ path: String) -> String {
    guard let name = realpath(path, nil) else { return path }
    defer { free(name) }
    return String(cString: name)
  }
}
