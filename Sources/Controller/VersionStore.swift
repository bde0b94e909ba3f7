// The versions of a lab (`state.db` in the run directory): what each was made of, and which one stands.
//
// A layer is a file's text, with the route manifests that it names as they were then. A version is a list of layers, the topology file first and over it, in order, the CHANGEs of which something is left; a
// rollback is a new version with an old list. A version is `prepared` while the nodes commit it, and exactly one is `current`: the step from one
// to the next is a single transaction, so that whoever reads the file after a crash at any time finds one whole
// version. One that is found `prepared` was interrupted and never stood.
//
// Write-ahead log, and nothing is forced to the disk: what a killed process has written the kernel keeps, and a machine
// that loses power has lost the lab. So no write makes the event loop wait for a disk.

internal import Foundation
internal import SQLite
internal import Topology

struct StoredVersion: Equatable, Sendable {
  enum State: String, Sendable { case prepared, current, past, failed }

  var version: Int
  /// Milliseconds since 1970.
  var at: Int64
  var author: String
  /// In words, as the history shows it.
  var change: String
  /// As plan prints it, against the version before.
  var diff: [String]
  /// Row numbers in `layers`, in order.
  var layers: [Int64]
  var state: State
  /// Rolled back then unless confirmed; milliseconds since 1970.
  var confirmBy: Int64?
}

final class VersionStore {
  private let database: SQLiteDatabase

  private static let schema = """
    CREATE TABLE IF NOT EXISTS layers (
      id INTEGER PRIMARY KEY,
      file TEXT NOT NULL,
      text TEXT NOT NULL,
      manifests TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS versions (
      version INTEGER PRIMARY KEY,
      at INTEGER NOT NULL,
      author TEXT NOT NULL,
      change TEXT NOT NULL,
      diff TEXT NOT NULL,
      layers TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('prepared', 'current', 'past', 'failed')),
      confirm_by INTEGER
    );
    CREATE UNIQUE INDEX IF NOT EXISTS one_current ON versions (state) WHERE state = 'current';
    CREATE UNIQUE INDEX IF NOT EXISTS one_prepared ON versions (state) WHERE state = 'prepared';
    """
  private static let columns = "version, at, author, change, diff, layers, state, confirm_by"

  init(path: String) throws {
    database = try SQLiteDatabase(path: path)
    try database.execute("PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL")
    try database.transaction { try database.execute(Self.schema) }
  }

  // MARK: reading

  func current() throws -> StoredVersion? {
    try database.rows("SELECT \(Self.columns) FROM versions WHERE state = 'current'").first.flatMap(Self.version)
  }

  func version(_ number: Int) throws -> StoredVersion? {
    try database.rows("SELECT \(Self.columns) FROM versions WHERE version = ?", [.integer(Int64(number))]).first
      .flatMap(Self.version)
  }

  /// Newest first.
  func history(limit: Int, offset: Int) throws -> [StoredVersion] {
    try database.rows(
      "SELECT \(Self.columns) FROM versions WHERE state != 'prepared' ORDER BY version DESC LIMIT ? OFFSET ?",
      [.integer(Int64(limit)), .integer(Int64(offset))]
    ).compactMap(Self.version)
  }

  /// Versions that stood before the current one, newest first: those that a rollback can go to.
  func past() throws -> [Int] {
    try database.rows("SELECT version FROM versions WHERE state = 'past' ORDER BY version DESC")
      .compactMap { $0.first?.integer.map(Int.init) }
  }

  func layers(_ ids: [Int64]) throws -> [FileLayer] {
    try ids.map { id in
      let row = try database.rows("SELECT file, text, manifests FROM layers WHERE id = ?", [.integer(id)]).first
      guard let file = row?[0].text, let text = row?[1].text, let manifests = row?[2].text else {
        throw SQLiteError(code: 0, message: "there is no layer \(id)", doing: "layers")
      }
      return FileLayer(
        file: file, text: text,
        manifests: (try? JSONDecoder().decode([String: String].self, from: Data(manifests.utf8))) ?? [:])
    }
  }

  // MARK: writing

  /// The version that `up` made.
  func begin(_ layer: FileLayer, author: String, change: String, at: Int64) throws -> StoredVersion {
    try database.transaction {
      let id = try add(layer)
      let first = StoredVersion(
        version: 1, at: at, author: author, change: change, diff: [], layers: [id], state: .current, confirmBy: nil)
      try insert(first)
      return first
    }
  }

  /// Says that the nodes are about to commit it. `layers`: of old versions; `adding`: the CHANGE over them.
  func prepare(
    change: String, author: String, diff: [String], layers: [Int64], adding: FileLayer?, at: Int64
  ) throws -> StoredVersion {
    try database.transaction {
      // One that could not be abandoned must not stand in the way.
      try database.rows("DELETE FROM versions WHERE state = 'prepared'")
      let newest = try database.rows("SELECT max(version) FROM versions").first?.first?.integer ?? 0
      var prepared = StoredVersion(
        version: Int(newest) + 1, at: at, author: author, change: change, diff: diff, layers: layers, state: .prepared,
        confirmBy: nil)
      if let adding { prepared.layers.append(try add(adding)) }
      try insert(prepared)
      return prepared
    }
  }

  /// From here on it stands. `confirmWithin`: milliseconds from `at`.
  func commit(_ prepared: StoredVersion, at: Int64, confirmWithin: Int64?) throws -> StoredVersion {
    var standing = prepared
    standing.state = .current
    standing.at = at
    standing.confirmBy = confirmWithin.map { at + $0 }
    try database.transaction {
      try database.rows("UPDATE versions SET state = 'past', confirm_by = NULL WHERE state = 'current'")
      try database.rows(
        "UPDATE versions SET state = 'current', at = ?, confirm_by = ? WHERE version = ?",
        [
          .integer(at), standing.confirmBy.map(SQLValue.integer) ?? .null, .integer(Int64(prepared.version)),
        ])
    }
    return standing
  }

  /// A node refused or was lost while it committed: it never was.
  func abandon(_ prepared: StoredVersion) throws {
    try database.transaction {
      try database.rows(
        "DELETE FROM versions WHERE version = ? AND state = 'prepared'", [.integer(Int64(prepared.version))])
      let used = Set(try database.rows("SELECT layers FROM versions").flatMap { Self.list($0[0], of: Int64.self) })
      for id in prepared.layers where !used.contains(id) {
        try database.rows("DELETE FROM layers WHERE id = ?", [.integer(id)])
      }
    }
  }

  /// What a controller that ended left prepared: it failed, and the history says so. nil: nothing.
  func failInterrupted(standing: Int) throws -> StoredVersion? {
    let row = try database.rows("SELECT \(Self.columns) FROM versions WHERE state = 'prepared'").first
    guard var found = row.flatMap(Self.version) else { return nil }
    found.change += " interrupted; version \(standing) stands"
    found.state = .failed
    try database.rows(
      "UPDATE versions SET state = 'failed', change = ? WHERE version = ?",
      [.text(found.change), .integer(Int64(found.version))])
    return found
  }

  func confirm(_ version: StoredVersion) throws -> StoredVersion {
    try database.rows(
      "UPDATE versions SET confirm_by = NULL WHERE version = ?", [.integer(Int64(version.version))])
    var confirmed = version
    confirmed.confirmBy = nil
    return confirmed
  }

  // MARK: rows

  private func add(_ layer: FileLayer) throws -> Int64 {
    let row = try database.rows(
      "INSERT INTO layers (file, text, manifests) VALUES (?, ?, ?) RETURNING id",
      [.text(layer.file), .text(layer.text), .text(Self.json(layer.manifests))]
    ).first
    guard let id = row?.first?.integer else {
      throw SQLiteError(code: 0, message: "no row was made", doing: "layers")
    }
    return id
  }

  private func insert(_ version: StoredVersion) throws {
    try database.rows(
      "INSERT INTO versions (\(Self.columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      [
        .integer(Int64(version.version)), .integer(version.at), .text(version.author), .text(version.change),
        .text(Self.json(version.diff)), .text(Self.json(version.layers)), .text(version.state.rawValue),
        version.confirmBy.map(SQLValue.integer) ?? .null,
      ])
  }

  private static func version(_ row: [SQLValue]) -> StoredVersion? {
    guard row.count == 8, let number = row[0].integer, let at = row[1].integer, let author = row[2].text,
      let change = row[3].text, let state = row[6].text.flatMap(StoredVersion.State.init)
    else { return nil }
    return StoredVersion(
      version: Int(number), at: at, author: author, change: change, diff: list(row[4], of: String.self),
      layers: list(row[5], of: Int64.self), state: state, confirmBy: row[7].integer)
  }

  private static func json(_ value: some Encodable) -> String {
    (try? JSONEncoder().encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "[]"
  }

  private static func list<Element: Decodable>(_ value: SQLValue, of: Element.Type) -> [Element] {
    guard let text = value.text else { return [] }
    return (try? JSONDecoder().decode([Element].self, from: Data(text.utf8))) ?? []
  }
}
