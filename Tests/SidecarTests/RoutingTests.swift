import HTTP1
import Testing

@testable import Sidecar

@Suite struct RoutingTests {
  func head(_ target: String, method: String = "GET", _ fields: [(name: String, value: String)] = []) throws
    -> RequestHead
  {
    try #require(
      RequestHead(method: method, target: target, authority: "web", fields: HeaderFields(fields), framing: .none))
  }

  func matches(_ match: RequestMatch, _ head: RequestHead) -> Bool {
    var rule = RouteRule()
    rule.matches = [match]
    return RouteMatcher(rule).match(head).matches
  }

  @Test("paths: exact, whole segments, text, expression (Gateway API, HTTPPathMatch)")
  func paths() throws {
    for (prefix, path, expected) in [
      ("/abc", "/abc", true), ("/abc", "/abc/def", true), ("/abc", "/abcd", false), ("/abc/", "/abc", true),
      ("/abc", "/abc?x", true), ("/", "/anything", true), ("/abc", "/ABC", false),
    ] {
      #expect(matches(RequestMatch(path: .prefix(prefix)), try head(path)) == expected, "\(prefix) \(path)")
    }
    #expect(matches(RequestMatch(path: .exact("/a")), try head("/a?q")))
    #expect(!matches(RequestMatch(path: .exact("/a")), try head("/a/")))
    #expect(matches(RequestMatch(path: .textPrefix("/ab")), try head("/abc")))
    #expect(matches(RequestMatch(path: .expression("/v\\d+/.*")), try head("/v12/x")))
    #expect(!matches(RequestMatch(path: .expression("/v\\d+")), try head("/v12/x")))
  }

  @Test("methods, headers and query parameters, all of which must hold")
  func conditions() throws {
    let match = RequestMatch(
      method: "POST", headers: [.init("X-Env", .exact("canary"))], query: [.init("user", .expression("[a-c]+"))])
    let fields = [(name: "x-env", value: "canary")]
    #expect(matches(match, try head("/?user=%61bc", method: "POST", fields)))
    #expect(!matches(match, try head("/?user=abd", method: "POST", fields)))
    #expect(!matches(match, try head("/?user=abc", method: "GET", fields)))
    #expect(!matches(match, try head("/?user=abc", method: "POST")))
    #expect(!matches(match, try head("/", method: "POST", fields)))
    #expect(matches(RequestMatch(query: [.init("a", .exact("1 2"))]), try head("/?b=3&a=1+2&a=4")))
  }

  @Test("a prefix is replaced as the Gateway API's table of ReplacePrefixMatch has it")
  func prefixReplacement() {
    for (path, prefix, replacement, expected) in [
      ("/foo/bar", "/foo", "/xyz", "/xyz/bar"), ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
      ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"), ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
      ("/foo", "/foo", "/xyz", "/xyz"), ("/foo/", "/foo", "/xyz", "/xyz/"), ("/foo/bar", "/foo", "", "/bar"),
      ("/foo/", "/foo", "", "/"), ("/foo", "/foo", "", "/"), ("/foo/", "/foo", "/", "/"), ("/foo", "/foo", "/", "/"),
    ] {
      #expect(
        PathReplacement.prefix(replacement).apply(to: path, matchedPrefix: prefix) == expected,
        "\(path) \(prefix) \(replacement)")
    }
  }

  @Test("command lines")
  func commandLine() throws {
    let mode = try StaticMode(["--listen", "[::1]:80", "--upstream", "10.0.0.1:8080", "--tcp", "--workers", "2"])
    #expect(mode.listen.description == "[::1]:80" && mode.upstream.count == 1 && mode.workers == 2)
    #expect(mode.applicationProtocol == .tcp)
    for bad in [
      [], ["--listen", "1.2.3.4:80"], ["--listen", "1.2.3.4", "--upstream", "1.2.3.4:5"], ["--what"],
      ["--listen", "1.2.3.4:80", "--upstream", "1.2.3.4:5", "--in-tls"],
      ["--listen", "1.2.3.4:80", "--upstream", "1.2.3.4:5", "--workers", "0"],
    ] {
      #expect(throws: StaticMode.UsageError.self) { try StaticMode(bad) }
    }
  }
}
