// SQLite as the stores of this product need it: one connection, prepared statements that are kept, values of two kinds,
// errors with SQLite's own text. Everything blocks. One thread at a time: statements are kept without a lock.

internal import CSQLite

public enum SQLValue: Equatable, Sendable {
  case null
  case integer(Int64)
  case text(String)

  public var integer: Int64? { if case .integer(let value) = self { value } else { nil } }
  public var text: String? { if case .text(let value) = self { value } else { nil } }
}

public struct SQLiteError: Error, CustomStringConvertible {
  /// Extended result code, e.g. 13 SQLITE_FULL, 26 SQLITE_NOTADB.
  public var code: Int32
  public var message: String
  /// The file or the statement.
  public var doing: String

  public init(code: Int32, message: String, doing: String) {
    self.code = code
    self.message = message
    self.doing = doing
  }

  public var description: String { "\(doing): \(message) (SQLite \(code))" }
}

public final class SQLiteDatabase {
  private let handle: OpaquePointer
  private var statements: [String: OpaquePointer] = [:]

  /// Opens or makes the file.
  public init(path: String) throws {
    var opened: OpaquePointer?
    let code = sqlite3_open_v2(path, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nil)
    guard code == SQLITE_OK, let opened else {
      let message = opened.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
      sqlite3_close_v2(opened)
      throw SQLiteError(code: code, message: message, doing: path)
    }
    handle = opened
    sqlite3_extended_result_codes(handle, 1)
    // Another connection is a reader by hand, or the controller before this one that is being killed.
    sqlite3_busy_timeout(handle, 2000)
  }

  deinit {
    for statement in statements.values { sqlite3_finalize(statement) }
    sqlite3_close_v2(handle)
  }

  /// Several statements without values: a schema, pragmas.
  public func execute(_ script: String) throws {
    let code = sqlite3_exec(handle, script, nil, nil, nil)
    guard code == SQLITE_OK else { throw error(code, script) }
  }

  /// Rows of one statement, a value per column.
  @discardableResult
  public func rows(_ sql: String, _ values: [SQLValue] = []) throws -> [[SQLValue]] {
    let statement = try prepared(sql)
    defer {
      sqlite3_reset(statement)
      sqlite3_clear_bindings(statement)
    }
    for (offset, value) in values.enumerated() { try bind(value, at: Int32(offset + 1), of: statement, sql) }
    var rows: [[SQLValue]] = []
    while true {
      switch sqlite3_step(statement) {
      case SQLITE_ROW: rows.append((0..<sqlite3_column_count(statement)).map { Self.column($0, of: statement) })
      case SQLITE_DONE: return rows
      case let code: throw error(code, sql)
      }
    }
  }

  /// All of `body`, or nothing of it.
  public func transaction<Result>(_ body: () throws -> Result) throws -> Result {
    try execute("BEGIN IMMEDIATE")
    do {
      let result = try body()
      try execute("COMMIT")
      return result
    } catch {
      // Where SQLite has rolled back by itself (a full disk), this one fails and says nothing new.
      try? execute("ROLLBACK")
      throw error
    }
  }

  private func prepared(_ sql: String) throws -> OpaquePointer {
    if let known = statements[sql] { return known }
    var made: OpaquePointer?
    let code = sqlite3_prepare_v2(handle, sql, -1, &made, nil)
    guard code == SQLITE_OK, let made else { throw error(code, sql) }
    statements[sql] = made
    return made
  }

  private func bind(_ value: SQLValue, at index: Int32, of statement: OpaquePointer, _ sql: String) throws {
    let code: Int32
    switch value {
    case .null: code = sqlite3_bind_null(statement, index)
    case .integer(let number): code = sqlite3_bind_int64(statement, index, number)
    case .text(let text): code = csqlite_bind_text(statement, index, text, Int32(clamping: text.utf8.count))
    }
    guard code == SQLITE_OK else { throw error(code, sql) }
  }

  private static func column(_ index: Int32, of statement: OpaquePointer) -> SQLValue {
    switch sqlite3_column_type(statement, index) {
    case SQLITE_INTEGER: return .integer(sqlite3_column_int64(statement, index))
    case SQLITE_NULL: return .null
    default:
      guard let bytes = sqlite3_column_text(statement, index) else { return .null }
      let count = Int(sqlite3_column_bytes(statement, index))
      return .text(String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self))
    }
  }

  private func error(_ code: Int32, _ doing: String) -> SQLiteError {
    SQLiteError(code: code, message: String(cString: sqlite3_errmsg(handle)), doing: doing)
  }
}
