internal import Topology
internal import Yams

/// Text → `Value`, by Yams, with places of the text as it was before variables were replaced.
///
/// Three limits hold before or while the tree is made, because a parser that recurses and a mapping that hashes its keys
/// do not hold them: nesting, values after aliases are expanded, and no alias or collection as a key of a file with many
/// aliases.
struct ValueReader {
  private static let depthLimit = 64
  private static let valueLimit = 500_000
  /// Fewer than this cannot multiply to anything that hurts.
  private static let harmlessAliases = 24

  private let source: ExpandedText
  private let file: String
  private let log: ImportLog
  private var values = 0
  private var stopped = false

  /// nil after saying why there is no document.
  static func read(_ source: ExpandedText, file: String, _ log: ImportLog) -> Value? {
    var reader = ValueReader(source: source, file: file, log: log)
    guard reader.holdsLimits() else { return nil }
    do {
      guard let root = try Parser(yaml: source.text, resolver: .basic, encoding: .utf8).singleRoot() else {
        log.error(Place(file: file, line: 1, column: 1), "the file is empty; expected `name` and `topology`")
        return nil
      }
      let value = reader.convert(root, depth: 0)
      return reader.stopped ? nil : value
    } catch let error as YamlError {
      reader.report(error)
    } catch {
      log.error(Place(file: file, line: 1, column: 1), "YAML: \(error)")
    }
    return nil
  }

  private init(source: ExpandedText, file: String, log: ImportLog) {
    self.source = source
    self.file = file
    self.log = log
  }

  private func place(_ mark: Mark?) -> Place { place(line: mark?.line ?? 1, column: mark?.column ?? 1) }

  private func place(line: Int, column: Int) -> Place {
    let origin = source.source(line: line, column: column)
    return Place(file: file, line: origin.line, column: origin.column)
  }

  private mutating func convert(_ node: Node, depth: Int) -> Value {
    let place = place(node.mark)
    values += 1
    if values > Self.valueLimit { stop(place, "aliases expand to more than \(Self.valueLimit) values") }
    if depth > Self.depthLimit { stop(place, "nested too deeply; expected at most \(Self.depthLimit) levels") }
    guard !stopped else { return Value(place: place, content: .scalar("", plain: true)) }
    switch node {
    case .scalar(let scalar):
      let plain = scalar.style == .plain || scalar.style == .any
      return Value(place: place, content: .scalar(scalar.string, plain: plain))
    case .sequence(let sequence):
      return Value(place: place, content: .list(sequence.map { convert($0, depth: depth + 1) }))
    case .mapping(let mapping):
      return Value(place: place, content: .mapping(entries(mapping, depth: depth)))
    case .alias:
      return Value(place: place, content: .scalar("", plain: true))
    }
  }

  private mutating func entries(_ mapping: Node.Mapping, depth: Int) -> [Value.Entry] {
    var entries: [Value.Entry] = []
    var merged: [Value] = []
    for (key, value) in mapping {
      guard case .scalar(let scalar) = key else {
        log.error(place(key.mark), "a collection as a key; expected a name")
        continue
      }
      let value = convert(value, depth: depth + 1)
      if stopped { return [] }
      if scalar.string == "<<", scalar.style == .plain {
        merged += value.list ?? [value]
      } else {
        entries.append(Value.Entry(key: scalar.string, place: place(key.mark), value: value))
      }
    }
    guard !merged.isEmpty else { return entries }
    var known = Set(entries.map(\.key))
    for value in merged {
      guard let more = value.entries else {
        log.error(value.place, "`<<` merges mappings; this is \(value.kind)")
        continue
      }
      entries += more.filter { known.insert($0.key).inserted }
    }
    return entries
  }

  private mutating func stop(_ place: Place, _ message: String) {
    if !stopped { log.error(place, message) }
    stopped = true
  }

  // MARK: Before the parser

  private func holdsLimits() -> Bool {
    var scan = LexicalScan()
    var text = source.text
    text.withUTF8 { bytes in scan.run(bytes, depthLimit: Self.depthLimit) }
    if let spot = scan.template {
      log.error(
        place(line: spot.line, column: spot.column),
        "a Go template (`{{`); containerlab renders it first: import the rendered file")
      return false
    }
    if let spot = scan.deep {
      log.error(
        place(line: spot.line, column: spot.column),
        "nested too deeply; expected at most \(Self.depthLimit) levels")
      return false
    }
    if scan.aliases > Self.harmlessAliases, let spot = scan.oddKey {
      log.error(place(line: spot.line, column: spot.column), "an alias or a collection as a key; expected a name")
      return false
    }
    return true
  }

  // MARK: Errors

  private func report(_ error: YamlError) {
    switch error {
    case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      let message =
        problem.contains("another document")
        ? "a second YAML document; expected one document per file"
        : "YAML syntax: \(problem)" + (context.map { " (\($0.text))" } ?? "")
      log.error(place(mark), message)
    case .duplicatedKeysInMapping(let keys, let context):
      let names = keys.map { "`\($0)`" }.joined(separator: ", ")
      log.error(place(context.mark), "duplicate keys in this mapping: \(names); keep one of each")
    case .reader(let problem, _, _, _): log.error(place(nil), "YAML: \(problem)")
    case .memory: log.error(place(nil), "YAML: nested too deeply; expected at most \(Self.depthLimit) levels")
    default: log.error(place(nil), "YAML: \(error)")
    }
  }
}

/// What can be seen of a YAML text without parsing it.
private struct LexicalScan {
  struct Spot {
    var line: Int
    var column: Int
  }

  var aliases = 0
  var deep: Spot?
  var oddKey: Spot?
  var template: Spot?

  mutating func run(_ bytes: UnsafeBufferPointer<UInt8>, depthLimit: Int) {
    var spot = Spot(line: 1, column: 1)
    var brackets = 0
    var dashes = 0
    var previous: UInt8 = 10
    for index in bytes.indices {
      let byte = bytes[index]
      let next = index + 1 < bytes.count ? bytes[index + 1] : 10
      let starts = [10, 13, 32, 9].contains(previous) || "[{,".utf8.contains(previous)
      switch byte {
      case UInt8(ascii: "["), UInt8(ascii: "{"): brackets += 1
      case UInt8(ascii: "]"), UInt8(ascii: "}"):
        brackets = max(0, brackets - 1)
        if next == UInt8(ascii: ":"), oddKey == nil { oddKey = spot }
      case UInt8(ascii: "-") where starts && next == 32, UInt8(ascii: "?") where starts && next == 32: dashes += 1
      case UInt8(ascii: "*") where starts: alias(bytes, index, spot)
      case 32, 9: break
      case 10: dashes = 0
      default: break
      }
      if byte == UInt8(ascii: "?"), starts, next == 32 || next == 10, oddKey == nil { oddKey = spot }
      if byte == UInt8(ascii: "{"), next == byte, template == nil { template = spot }
      if deep == nil, brackets > depthLimit || dashes > depthLimit {
        deep = spot
      }
      previous = byte
      if byte == 10 {
        spot = Spot(line: spot.line + 1, column: 1)
      } else if byte & 0xC0 != 0x80 {
        spot.column += 1
      }
    }
  }

  private mutating func alias(_ bytes: UnsafeBufferPointer<UInt8>, _ index: Int, _ spot: Spot) {
    var end = index + 1
    while end < bytes.count, bytes[end] > 32, !",]}:".utf8.contains(bytes[end]) { end += 1 }
    guard end > index + 1 else { return }
    aliases += 1
    while end < bytes.count, bytes[end] == 32 { end += 1 }
    if end < bytes.count, bytes[end] == UInt8(ascii: ":"), oddKey == nil { oddKey = spot }
  }
}
