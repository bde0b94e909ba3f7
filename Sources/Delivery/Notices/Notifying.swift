internal import EventLoop
internal import FoundationEssentials
internal import Glibc
internal import Topology

/// Tells whoever the file names. What does not arrive is kept as undelivered, and said.
extension DeliveryStages {
  public func notify(_ outcome: RunOutcome, _ run: RunContext) async {
    let notice = Notice(outcome, run)
    guard let body = try? notice.json() else { return }
    for (index, notification) in run.pipeline.notifications.enumerated() {
      var record = NoticeRecord(
        event: notice.event, target: Self.name(notification.target), delivered: false, attempts: 1, error: nil,
        at: millisecondsNow())
      do {
        let outcome = try await deliver(notice, body, notification, index, run)
        record.attempts = outcome.attempts
        record.error = outcome.error
      } catch {
        record.error = PipelineEngine.failure(error).reason
      }
      record.delivered = record.error == nil
      try? run.store.add(record, of: run.number)
      if let error = record.error {
        let times = record.attempts == 1 ? "" : " after \(record.attempts) attempts"
        run.note("undelivered: \(record.target): \(error)\(times)")
        run.report(.undelivered("\(record.target): \(error)\(times)"))
      } else {
        run.note("\(record.event) told to \(record.target)")
      }
    }
  }

  private func deliver(
    _ notice: Notice, _ body: String, _ notification: PipelineNotification, _ index: Int, _ run: RunContext
  ) async throws -> Webhook.Outcome {
    switch notification.target {
    case .console:
      run.report(.said(.notify, notice.sentence))
    case .file(let path):
      let whole = run.outside(path)
      let file = try FileDescriptor.open(whole, O_WRONLY | O_APPEND | O_CREAT, mode: 0o644)
      try SmallFile.writeAll(file.rawValue, Array((body + "\n").utf8), whole)
    case .command(let command):
      let ended = try await Shell(
        directory: run.directory,
        environment: [
          "NETLOOM_PIPELINE=\(notice.pipeline)", "NETLOOM_RUN=\(notice.run)", "NETLOOM_EVENT=\(notice.event)",
          "NETLOOM_REASON=\(notice.reason ?? "")", "NETLOOM_COMMIT=\(notice.commit ?? "")",
          "NETLOOM_AUTHOR=\(notice.author?.name ?? "")", "NETLOOM_AUTHOR_EMAIL=\(notice.author?.email ?? "")",
        ], log: run.log
      ).run(["/bin/sh", "-c", command], input: body + "\n", within: 60)
      if ended.timedOut { return Webhook.Outcome(attempts: 1, error: "it took longer than 60 s") }
      if ended.exit != 0 { return Webhook.Outcome(attempts: 1, error: "exit \(ended.exit)") }
    case .webhook(let address):
      return try await Webhook(address: address, secret: try secret(notification), retries: notification.retries).post(
        body, event: notice.event, delivery: "\(notice.pipeline)/\(notice.run)/\(notice.event)/\(index)",
        Shell(directory: run.directory, log: run.log), folder: run.folder)
    }
    return Webhook.Outcome(attempts: 1, error: nil)
  }

  private func secret(_ notification: PipelineNotification) throws -> String? {
    switch notification.secret {
    case nil: return nil
    case .text(let text): return text
    case .environment(let name):
      guard let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty else {
        throw StageFailure(.environment, "the variable \(name), which holds the secret, is not set")
      }
      return value
    }
  }

  /// Without what may be a secret in an address.
  private static func name(_ target: PipelineNotification.Target) -> String {
    switch target {
    case .console: "console"
    case .file(let path): path
    case .command(let command): "command \(command.prefix(40))"
    case .webhook(let address): "webhook \(withoutSecrets(address))"
    }
  }

  /// Scheme, host and port: chat services keep their token in the path.
  static func withoutSecrets(_ address: String) -> String {
    guard let scheme = address.firstRange(of: "://") else { return "?" }
    let authority = address[scheme.upperBound...].prefix { !"/?#\\".contains($0) }
    let host = authority.lastIndex(of: "@").map { authority[authority.index(after: $0)...] } ?? authority
    return "\(address[..<scheme.upperBound])\(host)"
  }
}
