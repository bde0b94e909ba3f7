// The runs of one pipeline (`state.db` in its folder). Every step of a run is one transaction, and it is forced to the disk:
// production may be between two versions, and whoever resumes after a power cut must know.

internal import FoundationEssentials
internal import Lab
internal import SQLite
internal import Synchronization

public final class PipelineStore: Sendable {
  private let database: Mutex<SQLiteDatabase>

  private static let schema = """
    CREATE TABLE IF NOT EXISTS runs (
      number INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL, text TEXT NOT NULL, file TEXT NOT NULL, directory TEXT NOT NULL, ref TEXT NOT NULL,
      started_by TEXT NOT NULL, state TEXT NOT NULL, reason TEXT, exit INTEGER,
      started_at INTEGER NOT NULL, ended_at INTEGER, facts TEXT NOT NULL,
      decision TEXT, cancel TEXT
    );
    CREATE TABLE IF NOT EXISTS stages (
      run INTEGER NOT NULL, stage TEXT NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL,
      started_at INTEGER NOT NULL, seconds REAL, reason TEXT, log TEXT NOT NULL, artifacts TEXT NOT NULL,
      PRIMARY KEY (run, stage)
    );
    CREATE TABLE IF NOT EXISTS notices (
      id INTEGER PRIMARY KEY, run INTEGER NOT NULL, event TEXT NOT NULL, target TEXT NOT NULL,
      delivered INTEGER NOT NULL, attempts INTEGER NOT NULL, error TEXT, at INTEGER NOT NULL
    );
    """
  private static let runColumns =
    "number, kind, text, file, directory, ref, started_by, state, reason, exit, started_at, ended_at, facts"

  public init(_ folder: PipelineFolder) throws {
    try folder.create()
    let opened = try SQLiteDatabase(path: folder.database)
    try opened.execute("PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL")
    try opened.transaction { try opened.execute(Self.schema) }
    database = Mutex(opened)
  }

  // MARK: runs

  func begin(_ run: RunRecord) throws -> Int { try database.withLock { try Self.insert(run, into: $0) } }

  /// - Parameter then: done before any other process sees the run.
  func begin(_ run: RunRecord, then: (Int) throws -> Void) throws -> Int {
    try database.withLock { try $0.execute("BEGIN IMMEDIATE") }
    do {
      let number = try begin(run)
      try then(number)
      try database.withLock { try $0.execute("COMMIT") }
      return number
    } catch {
      try? database.withLock { try $0.execute("ROLLBACK") }
      throw error
    }
  }

  private static func insert(_ run: RunRecord, into database: SQLiteDatabase) throws -> Int {
    let row = try database.rows(
      """
      INSERT INTO runs (kind, text, file, directory, ref, started_by, state, started_at, facts)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number
      """,
      [
        .text(run.kind.rawValue), .text(run.text), .text(run.file), .text(run.directory), .text(run.ref),
        .text(run.startedBy), .text(run.state.rawValue), .integer(run.startedAt), .text(try Self.json(run.facts)),
      ]
    ).first
    return Int(row?.first?.integer ?? 0)
  }

  public func run(_ number: Int) throws -> RunRecord? {
    try runs("WHERE number = ?", [.integer(Int64(number))]).first
  }

  /// Newest first.
  public func runs(limit: Int = 1000) throws -> [RunRecord] {
    try runs("ORDER BY number DESC LIMIT ?", [.integer(Int64(limit))])
  }

  private func runs(_ clause: String, _ values: [SQLValue]) throws -> [RunRecord] {
    try database.withLock { database in
      try database.rows("SELECT \(Self.runColumns) FROM runs \(clause)", values).compactMap { try Self.run($0) }
    }
  }

  func set(_ state: RunRecord.State, reason: String? = nil, exit: Int32? = nil, endedAt: Int64? = nil, of run: Int)
    throws
  {
    try change(
      "UPDATE runs SET state = ?, reason = ?, exit = ?, ended_at = ? WHERE number = ?",
      [
        .text(state.rawValue), .optional(reason), exit.map { .integer(Int64($0)) } ?? .null,
        endedAt.map { .integer($0) } ?? .null, .integer(Int64(run)),
      ])
  }

  func set(_ facts: RunFacts, of run: Int) throws {
    try change(
      "UPDATE runs SET facts = ? WHERE number = ?", [.text(try Self.json(facts)), .integer(Int64(run))])
  }

  func set(text: String, file: String, of run: Int) throws {
    try change("UPDATE runs SET text = ?, file = ? WHERE number = ?", [.text(text), .text(file), .integer(Int64(run))])
  }

  // MARK: what others say to a run

  public func decide(_ decision: ApprovalFacts, of run: Int) throws {
    try change(
      "UPDATE runs SET decision = ? WHERE number = ?", [.text(try Self.json(decision)), .integer(Int64(run))])
  }

  func decision(of run: Int) throws -> ApprovalFacts? {
    let text = try cell("SELECT decision FROM runs WHERE number = ?", run)
    return text.flatMap { try? JSONDecoder().decode(ApprovalFacts.self, from: Data($0.utf8)) }
  }

  func forgetDecision(of run: Int) throws {
    try change("UPDATE runs SET decision = NULL WHERE number = ?", [.integer(Int64(run))])
  }

  /// Asks the process that runs it to stop.
  public func cancel(_ run: Int, because reason: String) throws {
    try change("UPDATE runs SET cancel = ? WHERE number = ?", [.text(reason), .integer(Int64(run))])
  }

  func forgetCancellation(of run: Int) throws {
    try change("UPDATE runs SET cancel = NULL WHERE number = ?", [.integer(Int64(run))])
  }

  func cancellation(of run: Int) throws -> String? { try cell("SELECT cancel FROM runs WHERE number = ?", run) }

  // MARK: stages

  func begin(_ stage: Stage, of run: Int, log: String, at: Int64) throws {
    try change(
      """
      INSERT INTO stages (run, stage, state, attempt, started_at, log, artifacts) VALUES (?, ?, 'running', 1, ?, ?, '[]')
      ON CONFLICT (run, stage) DO UPDATE SET state = 'running', attempt = attempt + 1, started_at = excluded.started_at,
        seconds = NULL, reason = NULL
      """, [.integer(Int64(run)), .text(stage.rawValue), .integer(at), .text(log)])
  }

  func end(
    _ stage: Stage, of run: Int, _ state: StageRecord.State, seconds: Double, reason: String?, artifacts: [String]
  ) throws {
    try change(
      "UPDATE stages SET state = ?, seconds = ?, reason = ?, artifacts = ? WHERE run = ? AND stage = ?",
      [
        .text(state.rawValue), .text("\(seconds)"), .optional(reason), .text(try Self.json(artifacts)),
        .integer(Int64(run)), .text(stage.rawValue),
      ])
  }

  /// From this stage on nothing was done yet.
  func forget(from stage: Stage, of run: Int) throws {
    let names = Stage.allCases.drop { $0 != stage }
    for name in names {
      try change("DELETE FROM stages WHERE run = ? AND stage = ?", [.integer(Int64(run)), .text(name.rawValue)])
    }
  }

  /// In the order of the stages.
  public func stages(of run: Int) throws -> [StageRecord] {
    let rows = try database.withLock {
      try $0.rows(
        "SELECT stage, state, attempt, started_at, seconds, reason, log, artifacts FROM stages WHERE run = ?",
        [.integer(Int64(run))])
    }
    let records = rows.compactMap(Self.stage)
    return Stage.allCases.compactMap { stage in records.first { $0.stage == stage } }
  }

  // MARK: notices

  func add(_ notice: NoticeRecord, of run: Int) throws {
    try change(
      "INSERT INTO notices (run, event, target, delivered, attempts, error, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
      [
        .integer(Int64(run)), .text(notice.event), .text(notice.target), .integer(notice.delivered ? 1 : 0),
        .integer(Int64(notice.attempts)), .optional(notice.error), .integer(notice.at),
      ])
  }

  /// Oldest first.
  public func notices(of run: Int) throws -> [NoticeRecord] {
    try database.withLock {
      try $0.rows(
        "SELECT event, target, delivered, attempts, error, at FROM notices WHERE run = ? ORDER BY id",
        [.integer(Int64(run))])
    }.compactMap { row in
      guard let event = row[0].text, let target = row[1].text, let attempts = row[3].integer, let at = row[5].integer
      else { return nil }
      return NoticeRecord(
        event: event, target: target, delivered: row[2].integer == 1, attempts: Int(attempts), error: row[4].text,
        at: at)
    }
  }

  // MARK: rows

  private func change(_ sql: String, _ values: [SQLValue]) throws {
    _ = try database.withLock { try $0.rows(sql, values) }
  }

  private func cell(_ sql: String, _ run: Int) throws -> String? {
    try database.withLock { try $0.rows(sql, [.integer(Int64(run))]).first?.first?.text }
  }

  /// Facts that cannot be read are an error: a run that went on without them would not know what production runs.
  private static func run(_ row: [SQLValue]) throws -> RunRecord? {
    guard let number = row[0].integer, let kind = row[1].text.flatMap(RunRecord.Kind.init), let text = row[2].text,
      let file = row[3].text, let directory = row[4].text, let ref = row[5].text, let by = row[6].text,
      let state = row[7].text.flatMap(RunRecord.State.init), let started = row[10].integer, let facts = row[12].text
    else { return nil }
    return RunRecord(
      number: Int(number), kind: kind, text: text, file: file, directory: directory, ref: ref, startedBy: by,
      state: state, reason: row[8].text, exit: row[9].integer.map { Int32(clamping: $0) }, startedAt: started,
      endedAt: row[11].integer,
      facts: try JSONDecoder().decode(RunFacts.self, from: Data(facts.utf8)))
  }

  private static func stage(_ row: [SQLValue]) -> StageRecord? {
    guard let stage = row[0].text.flatMap(Stage.init), let state = row[1].text.flatMap(StageRecord.State.init),
      let attempt = row[2].integer, let started = row[3].integer, let log = row[6].text
    else { return nil }
    let artifacts = row[7].text.flatMap { try? JSONDecoder().decode([String].self, from: Data($0.utf8)) } ?? []
    return StageRecord(
      stage: stage, state: state, attempt: Int(attempt), startedAt: started,
      seconds: row[4].text.flatMap { Double($0) },
      reason: row[5].text, log: log, artifacts: artifacts)
  }

  private static func json(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
  }
}

extension SQLValue {
  static func optional(_ text: String?) -> SQLValue { text.map { .text($0) } ?? .null }
}
