internal import EventLoop
internal import Glibc
internal import Lab
internal import Topology

/// A ref of the repository → a commit, checked out in the run's own folder. The repository is only read.
struct SourceStage {
  let run: RunContext
  /// Other than that of the run: what production begins with.
  var ref: String?
  var folder: String?

  func perform() async throws {
    if let command = run.pipeline.source.prepare { try await prepare(command) }
    let commit = try await checkOut()
    try run.update { $0.commit = commit }
    run.leave(commit.id)
    run.say("\(run.ref) is \(commit.id.prefix(12)) by \(commit.author): \(commit.subject)")
  }

  private func prepare(_ command: String) async throws {
    let ended = try await run.shell(in: run.directory).run(["/bin/sh", "-c", command], within: 600)
    if ended.timedOut { throw StageFailure(.stopped, "`prepare` took longer than 10 minutes") }
    guard ended.exit == 0 else {
      throw StageFailure(.stopped, "`prepare` failed with exit \(ended.exit); see \(logPath)")
    }
  }

  private var logPath: String { run.log?.path ?? "the log" }

  /// `git clone` with everything it knows, then the commit without a branch.
  func checkOut() async throws -> CommitFacts {
    let folder = folder ?? run.folder + "/source"
    let ref = ref ?? run.ref
    Folder.remove(folder)
    let repository = try Self.repository(run)
    let here = Git(run: run, directory: run.folder)
    // Hard links to the objects of a local repository: nothing is copied, and nothing there can break what is here.
    _ = try await here.must(
      ["clone", "--quiet", "--no-checkout", "--", repository, folder],
      or: StageFailure(.stopped, "cannot clone \(run.pipeline.source.repository); see \(logPath)"))
    let git = Git(run: run, directory: folder)
    let id = try await commit(git, ref)
    _ = try await git.must(
      ["-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "--detach", id],
      or: StageFailure(.stopped, "cannot check out \(id); see \(logPath)"))
    let text = try await git.must(
      ["log", "-1", "--format=%an%x00%ae%x00%ct%x00%s", id], or: StageFailure(.stopped, "cannot read commit \(id)"))
    let parts = text.split(separator: "\0", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 4 else { throw StageFailure(.stopped, "cannot read commit \(id)") }
    let path = run.pipeline.source.path
    guard path == "." || Folder.exists(folder + "/" + path) else {
      throw StageFailure(.stopped, "there is no folder \(path) in \(ref) (\(id.prefix(12)))")
    }
    return CommitFacts(
      id: id, author: parts[0], email: parts[1], subject: parts[3], time: Int64(parts[2]) ?? 0, folder: folder)
  }

  /// A branch of the repository is a remote branch of the clone; tags and ids are what they were.
  private func commit(_ git: Git, _ ref: String) async throws -> String {
    for candidate in ["refs/remotes/origin/\(ref)", "refs/tags/\(ref)", ref] {
      if let id = try await git.ask(["rev-parse", "--verify", "--quiet", "--end-of-options", candidate + "^{commit}"]) {
        return id
      }
    }
    let branches = try await git.ask(["for-each-ref", "--format=%(refname:lstrip=3)", "refs/remotes/origin"]) ?? ""
    let names = branches.split(separator: "\n").filter { $0 != "HEAD" }.prefix(8).joined(separator: ", ")
    throw StageFailure(
      .stopped, "\(run.pipeline.source.repository) has no branch, tag or commit \(ref); branches: \(names)")
  }

  /// A path becomes absolute; anything else is git's to understand.
  static func repository(_ run: RunContext) throws -> String {
    let written = run.pipeline.source.repository
    if written.contains("://") || isRemote(written) { return written }
    let path = written.hasPrefix("/") ? written : run.directory + "/" + written
    guard Folder.exists(path) else { throw StageFailure(.stopped, "there is no repository \(path)") }
    return path
  }

  /// `user@host:path`
  private static func isRemote(_ text: String) -> Bool {
    guard let colon = text.firstIndex(of: ":") else { return false }
    return !text[..<colon].contains("/")
  }
}
