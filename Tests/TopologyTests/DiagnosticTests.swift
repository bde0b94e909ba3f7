import Testing
import Topology

@Test func aDiagnosticIsOneLineThatEditorsCanFollow() {
  let diagnostic = Diagnostic(
    place: Place(file: "a.yaml", line: 3, column: 7), severity: .error, message: "unknown key `hots`")
  #expect(diagnostic.description == "a.yaml:3:7: error: unknown key `hots`")
}
