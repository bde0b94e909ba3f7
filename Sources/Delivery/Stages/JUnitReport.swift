internal import EventLoop

/// What a JUnit XML file says of its tests.
struct JUnitReport: Equatable {
  var total = 0
  var failed: [FailedTest] = []

  /// 64 MiB are more than any report that somebody reads.
  private static let limit = 64 << 20

  init(reading path: String) throws {
    let bytes: [UInt8]
    do {
      bytes = try SmallFile.read(path)
    } catch {
      throw JUnitProblem(reason: error.code == 2 ? "the tests did not write it" : error.text)
    }
    guard bytes.count <= Self.limit else { throw JUnitProblem(reason: "it is larger than \(Self.limit >> 20) MiB") }
    try self.init(bytes)
  }

  init(_ bytes: [UInt8]) throws {
    var scanner = XMLScanner(bytes)
    var name: String?
    var failure: FailedTest?
    var sawSuite = false
    while let event = try scanner.next() {
      switch event {
      case .start("testsuites", _, _), .start("testsuite", _, _): sawSuite = true
      case .start("testcase", let attributes, let isEmpty):
        total += 1
        let label = [attributes["classname"], attributes["name"]].compactMap(\.self).filter { !$0.isEmpty }
        name = label.joined(separator: ".")
        if isEmpty { name = nil }
      case .start("failure", let attributes, let isEmpty), .start("error", let attributes, let isEmpty):
        guard let test = name else { break }
        failure = FailedTest(name: test, message: attributes["message"] ?? "")
        if isEmpty { close(&failure) }
      case .text(let text):
        if failure?.message.isEmpty == true { failure?.message = Self.firstLine(text) }
      case .end("failure"), .end("error"): close(&failure)
      case .end("testcase"): name = nil
      default: break
      }
    }
    guard sawSuite else { throw JUnitProblem(reason: "it is no JUnit report: there is no testsuite in it") }
  }

  /// One test with several failures is one failed test.
  private mutating func close(_ failure: inout FailedTest?) {
    if let found = failure, failed.last?.name != found.name { failed.append(found) }
    failure = nil
  }

  private static func firstLine(_ text: String) -> String {
    text.split(separator: "\n").map { String($0).trimmingSpaces }.first { !$0.isEmpty } ?? ""
  }
}

struct JUnitProblem: Error, CustomStringConvertible {
  var reason: String
  var description: String { reason }
}

extension String {
  var trimmingSpaces: String {
    let start = drop { $0 == " " || $0 == "\t" || $0 == "\r" }
    var end = start
    while let last = end.last, last == " " || last == "\t" || last == "\r" { end = end.dropLast() }
    return String(end)
  }
}
