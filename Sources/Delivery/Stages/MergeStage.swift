internal import Lab
internal import Topology

/// Moves a branch of the repository forward to the commit, or says why not. Nothing is merged that is no fast-forward: what
/// was tested is what the branch becomes.
struct MergeStage {
  let run: RunContext

  func perform() async throws {
    guard let into = run.pipeline.mergeInto, let commit = run.facts.commit else { return }
    let git = Git(run: run, directory: commit.folder)
    // As it is now, not as it was when the run began.
    _ = try await git.must(
      ["fetch", "--quiet", "origin"], or: StageFailure(.stopped, "cannot read the repository again; see its log"))
    guard let head = try await git.ask(["rev-parse", "--verify", "--quiet", "refs/remotes/origin/\(into)^{commit}"])
    else {
      throw StageFailure(.stopped, "there is no branch \(into) to merge into")
    }
    if try await git.ask(["merge-base", "--is-ancestor", commit.id, head]) != nil {
      return run.say("\(into) has \(commit.id.prefix(12)) already")
    }
    guard try await git.ask(["merge-base", "--is-ancestor", head, commit.id]) != nil else {
      let missing = try await git.ask(["rev-list", "--count", "\(commit.id)..\(head)"]) ?? "some"
      throw StageFailure(
        .stopped, "\(into) has moved on by \(missing) commits that \(run.ref) does not have; rebase it and run again")
    }
    try run.update { $0.mergedFrom = head }
    // A branch that is checked out is updated with its working tree, or refused by git where that has changes.
    let receive = "git -c receive.denyCurrentBranch=updateInstead receive-pack"
    let isLocal = try SourceStage.repository(run).hasPrefix("/")
    _ = try await git.must(
      ["push", "--quiet"] + (isLocal ? ["--receive-pack=\(receive)"] : [])
        + ["origin", "\(commit.id):refs/heads/\(into)"],
      or: StageFailure(
        .stopped, "git refuses to move \(into) to \(commit.id.prefix(12)); see \(run.log?.path ?? "its log")"))
    run.leave("\(into) \(head.prefix(12))..\(commit.id.prefix(12))")
    run.say("\(into) is \(commit.id.prefix(12)) now")
  }
}
