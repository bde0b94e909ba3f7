import TLS
import Testing

/// Examples of the SPIFFE-ID standard, section 2, and what its grammar excludes.
@Suite struct SPIFFEIDTests {
  @Test(arguments: [
    ("spiffe://example.com", "example.com", ""),
    ("spiffe://staging.example.com/payments/mysql", "staging.example.com", "/payments/mysql"),
    ("spiffe://lab/ns/default/sa/web-1", "lab", "/ns/default/sa/web-1"),
    ("spiffe://a_b-1/9eebccd2-12bf-40a6-b262-65fe0487d453", "a_b-1", "/9eebccd2-12bf-40a6-b262-65fe0487d453"),
    ("spiffe://k8s.example.com/ns/staging/sa/Default", "k8s.example.com", "/ns/staging/sa/Default"),
    ("spiffe://lab/...", "lab", "/..."),
  ])
  func validIDsHaveTheirParts(text: String, trustDomain: String, path: String) throws {
    let id = try #require(SPIFFEID(text))
    #expect(id.trustDomain == trustDomain)
    #expect(id.path == path)
    #expect(id.description == text)
  }

  @Test(arguments: [
    "", "spiffe:", "spiffe://", "spiffe:///path", "http://example.com/a", "SPIFFE://example.com", "spiffe:/example.com",
    "spiffe://Example.com", "spiffe://example.com/", "spiffe://example.com//a", "spiffe://example.com/a/",
    "spiffe://example.com/./a", "spiffe://example.com/a/..", "spiffe://example.com/a%20b", "spiffe://example.com/a?b",
    "spiffe://example.com/a#b", "spiffe://example.com?b", "spiffe://example.com#b", "spiffe://user@example.com/a",
    "spiffe://example.com:80/a", "spiffe://example.com/é", "spiffe://exämple/a", "spiffe://[::1]/a", " spiffe://a/b",
    "spiffe://a/b\n", "spiffe://a/b\0c",
  ])
  func otherTextsAreNone(text: String) { #expect(SPIFFEID(text) == nil) }

  @Test func lengthsAreBounded() {
    #expect(SPIFFEID("spiffe://" + String(repeating: "a", count: 255)) != nil)
    #expect(SPIFFEID("spiffe://" + String(repeating: "a", count: 256)) == nil)
    let prefix = "spiffe://a/"
    #expect(SPIFFEID(prefix + String(repeating: "b", count: 2048 - prefix.utf8.count)) != nil)
    #expect(SPIFFEID(prefix + String(repeating: "b", count: 2049 - prefix.utf8.count)) == nil)
  }

  @Test func anAccountHasItsPlaceInThePath() {
    #expect(SPIFFEID(trustDomain: "lab", serviceAccount: "web")?.description == "spiffe://lab/ns/default/sa/web")
    #expect(SPIFFEID(trustDomain: "lab", serviceAccount: "a/b") == nil)
    #expect(SPIFFEID(trustDomain: "lab", namespace: "..", serviceAccount: "a") == nil)
    #expect(SPIFFEID(trustDomain: "lab", serviceAccount: "") == nil)
  }
}
