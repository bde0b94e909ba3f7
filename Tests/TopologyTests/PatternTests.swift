import Mesh
import Testing

/// Patterns of requests. What RE2, Envoy's, takes them for was looked up in its syntax (github.com/google/re2, wiki Syntax).
@Suite struct PatternTests {
  @Test(arguments: [
    ("/a.*", ["/a", "/ab/c"], ["/b", "x/a"]),
    ("\\d+", ["42"], ["", "4x"]),
    ("\\D", ["x"], ["4"]),
    ("[\\d]+", ["42"], ["]", "[0-9]]"]),
    ("[^\\d/]+", ["ab"], ["a1", "a/"]),
    ("[\\w.]+", ["a_1.b"], ["a-b", "a\\"]),
    ("[a\\.b]", [".", "a"], ["\\", "c"]),
    ("[]a]+", ["]a"], ["b"]),
    ("[[:alpha:]_]+", ["a_B"], ["1"]),
    ("a\\.b", ["a.b"], ["axb"]),
    ("(v1|v2)-[0-9]{2}", ["v2-17"], ["v3-17", "v1-1"]),
  ])
  func `a text is matched as a whole`(pattern: String, matches: [String], others: [String]) throws {
    let compiled = try #require(TextPattern(pattern))
    for text in matches { #expect(compiled.matches(text), "\(text)") }
    for text in others { #expect(!compiled.matches(text), "\(text)") }
  }

  @Test(arguments: ["(", "(a)\\1", "(?i)a", "(?=x)", "[\\]]", "[a\\-z]", "[[=a=]]", "\\pL", "a\\", "[a", "a\0"])
  func `what is no pattern, or means another thing elsewhere, is refused`(pattern: String) {
    #expect(TextPattern(pattern) == nil)
  }
}
