import NodeAgent

// The whole program is NodeAgent's, where tests reach it.
let status = NodeProgram.run(Array(CommandLine.arguments.dropFirst()))
NodeProgram.exit(status)
