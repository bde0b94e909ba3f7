import Images
import NetTypes
import Testing

@Suite struct ImageReferenceTests {
  private static let hex = String(repeating: "0f", count: 32)

  private static let written: [(String, String, String?, String, String?, String?)] = [
    ("web", "web:latest", nil, "web", "latest", nil),
    ("web:v1.2_3-rc", "web:v1.2_3-rc", nil, "web", "v1.2_3-rc", nil),
    ("registry:5000/team/web:v1", "registry:5000/team/web:v1", "registry:5000", "team/web", "v1", nil),
    ("localhost/web", "localhost/web:latest", "localhost", "web", "latest", nil),
    ("team/web", "team/web:latest", nil, "team/web", "latest", nil),
    ("web@sha256:\(hex)", "web@sha256:\(hex)", nil, "web", nil, hex),
    ("r.example:5000/web:v1@sha256:\(hex)", "r.example:5000/web:v1@sha256:\(hex)", "r.example:5000", "web", "v1", hex),
  ]

  @Test(arguments: written)
  func aReferenceIsReadAsOtherToolsReadIt(
    _ text: String, _ whole: String, _ registry: String?, _ name: String, _ tag: String?, _ digest: String?
  ) throws {
    let reference = try ImageReference(text)
    #expect(reference.description == whole)
    #expect(reference.registry == registry)
    #expect(reference.name == name)
    #expect(reference.tag == tag)
    #expect(reference.digest?.hex == digest)
  }

  @Test(arguments: [
    "", "Web", "web:", "web:-x", "web@sha256:12", "web@md5:\(hex)", "web//x", "/web", "web/", "registry:0/web",
    "registry:99999/web", "a b", "web@sha256:\(hex.uppercased())", "-web", "host:1:2/web",
  ])
  func whatNamesNoImageIsRefusedWithWhatWasExpected(_ text: String) throws {
    let error = #expect(throws: ImageError.self) { try ImageReference(text) }
    #expect(error?.kind == .usage)
    #expect(error?.message.contains("`\(text)`") == true)
  }
}
