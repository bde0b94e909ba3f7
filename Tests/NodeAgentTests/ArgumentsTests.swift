import Testing

@testable import NodeAgent

@Suite struct ArgumentsTests {
  @Test func `the command line of a lab and of a standalone speaker`() throws {
    let lab = try #require(
      NodeProgram.Arguments(["--run", "/run/x", "--node", "r1", "--listen", "3,4", "--restarted"]))
    #expect(lab.mode == .lab(directory: "/run/x", node: "r1") && lab.listeners == [3, 4])
    let alone = try #require(NodeProgram.Arguments(["--standalone", "f.pb", "--", "netloom", "lower", "--run"]))
    #expect(alone.mode == .standalone(file: "f.pb", reloadCommand: ["netloom", "lower", "--run"]))
  }

  @Test func `a server of agents has a socket, and room for their titles`() throws {
    let server = try #require(NodeProgram.Arguments(["--serve", "5", "--room", "    "]))
    #expect(server.mode == .serve(socket: 5))
  }

  @Test(arguments: [[], ["--serve", "2"], ["--serve", "x"]])
  func `a server without a socket of its own is refused`(words: [String]) {
    #expect(NodeProgram.Arguments(words) == nil)
  }

  @Test(arguments: [[], ["--run", "/x"], ["--run"], ["--standalone", "f", "--listen", "1"], ["--what"]])
  func `what it does not understand is refused`(words: [String]) {
    #expect(NodeProgram.Arguments(words) == nil)
  }
}
