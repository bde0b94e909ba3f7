import Foundation

/// A server and a client of gRPC's C core (PyPI grpcio) in one process: the server says its port, and the client does what
/// it is asked, line by line, through whatever stands between the two.
final class GRPCProgram {
  /// A Python with grpcio: of NETLOOM_XDS_PYTHON, or the first of the PATH.
  static let python: String? = {
    let name = ProcessInfo.processInfo.environment["NETLOOM_XDS_PYTHON"] ?? "python3"
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [name, "-c", "import grpc"]
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    process.waitUntilExit()
    return process.terminationStatus == 0 ? name : nil
  }()

  private let process = Process()
  private let input = Pipe()
  private let output = Pipe()
  private var buffer: [UInt8] = []
  let port: UInt16

  init(_ python: String) throws {
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [python, "-c", Self.program]
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    var line: [UInt8] = []
    while let byte = try output.fileHandleForReading.read(upToCount: 1)?.first, byte != 10 { line.append(byte) }
    port = UInt16(String(decoding: line, as: UTF8.self)) ?? 0
  }

  deinit {
    try? input.fileHandleForWriting.close()
    process.waitUntilExit()
  }

  /// Asks for something; the answer is one line. The program's own limits end it after 20 seconds at the most.
  func ask(_ line: String) throws -> String {
    try input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8))
    while true {
      if let end = buffer.firstIndex(of: 10) {
        let answer = String(decoding: buffer[..<end], as: UTF8.self)
        buffer.removeSubrange(...end)
        return answer
      }
      guard let more = try output.fileHandleForReading.read(upToCount: 1), !more.isEmpty else { return "it has ended" }
      buffer += more
    }
  }

  private static let program = #"""
    import queue, signal, sys, threading
    from concurrent import futures
    import grpc

    # A test runner blocks signals, and what it starts inherits that.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    ended = queue.Queue()

    def unary(request, context):
        if request == b"wait":
            gone = threading.Event()
            context.add_callback(gone.set)
            ended.put("cancelled" if gone.wait(15) else "forgotten")
            return b""
        metadata = dict(context.invocation_metadata())
        context.send_initial_metadata((("early", metadata.get("name", "-")),))
        context.set_trailing_metadata((("length", str(len(request))),))
        if request == b"fail":
            context.abort(grpc.StatusCode.NOT_FOUND, "nothing here: 100 %")
        return request

    def count(request, context):
        for number in range(int(request)):
            yield b"x" * 10000

    def echo(requests, context):
        total = 0
        for request in requests:
            total += 1
            yield request
        context.set_trailing_metadata((("messages", str(total)),))

    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
    })])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    channel = None

    def metadata(pairs):
        return " ".join(f"{key}={value}" for key, value in pairs if key in ("early", "length", "messages"))

    def run(words):
        global channel
        if words[0] == "open":
            channel = grpc.insecure_channel(words[1])
            return "opened"
        call = channel.unary_unary("/test.Echo/Unary")
        if words[0] == "unary":
            answer, done = call.with_call(b"y" * int(words[1]), timeout=10, metadata=(("name", "me"),))
            return f"{len(answer)} {metadata(done.initial_metadata())} {metadata(done.trailing_metadata())}"
        if words[0] == "fail":
            try:
                call(b"fail", timeout=10)
            except grpc.RpcError as error:
                return f"{error.code().name} {error.details()} {metadata(error.trailing_metadata())}"
        if words[0] == "count":
            return str(sum(len(part) for part in channel.unary_stream("/test.Echo/Count")(words[1].encode(), timeout=15)))
        if words[0] == "echo":
            # Each message waits for the answer to the one before.
            to_send = queue.Queue()
            answers = channel.stream_stream("/test.Echo/Echo")(iter(to_send.get, None), timeout=15)
            for number in range(int(words[1])):
                to_send.put(str(number).encode())
                assert next(answers) == str(number).encode()
            to_send.put(None)
            assert list(answers) == []
            return metadata(answers.trailing_metadata())
        if words[0] == "deadline":
            try:
                call(b"wait", timeout=0.3)
            except grpc.RpcError as error:
                return f"{error.code().name}, {ended.get(timeout=15)}"
        if words[0] == "cancel":
            under_way = call.future(b"wait", timeout=15)
            call(b"", timeout=10)
            under_way.cancel()
            return f"{under_way.code().name}, {ended.get(timeout=15)}"
        if words[0] == "refused":
            try:
                call(b"", timeout=10)
                return "OK"
            except grpc.RpcError as error:
                fields = dict(list(error.initial_metadata() or ()) + list(error.trailing_metadata() or ()))
                return f"{error.code().name} {fields.get('netloom-refused')}"
        return "what?"

    for line in sys.stdin:
        try:
            print(run(line.split()), flush=True)
        except Exception as error:
            print("error", repr(error).replace("\n", " "), flush=True)
    server.stop(0)
    """#
}
