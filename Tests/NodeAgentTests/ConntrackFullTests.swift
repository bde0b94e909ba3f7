import ControlProtocol
import Foundation
import NetTypes
import Netlink
import Nftables
import Testing

@testable import NodeAgent

@Suite(.enabled(if: LabNode.isAllowed)) struct ConntrackFullTests {
  /// The limit is the machine's, what is counted is the namespace's: the table has to be filled for real.
  private static let fill = """
    import socket, struct, sys
    count = int(sys.argv[1])
    def nest(kind, data): return struct.pack('=HH', 4 + len(data), kind | 0x8000) + data
    def put(kind, data): return struct.pack('=HH', 4 + len(data), kind) + data + b'\\0' * (-len(data) % 4)
    def tuple(kind, source, destination, ports):
      ip = nest(1, put(1, source) + put(2, destination))
      return nest(kind, ip + nest(2, put(1, bytes([17])) + put(2, ports[0]) + put(3, ports[1])))
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER
    near, to = bytes([192, 0, 2, 1]), struct.pack('!H', 53)
    # Assured: such an entry never makes room for a new one.
    rest = put(7, struct.pack('!I', 600)) + put(3, struct.pack('!I', 2 | 4 | 8))
    batch = []
    for number in range(count):
      far, port = bytes([198, 18, number >> 16, 1]), struct.pack('!H', number & 0xffff)
      body = struct.pack('=BBH', 2, 0, 0) + tuple(1, far, near, (port, to)) + tuple(2, near, far, (to, port)) + rest
      batch.append(struct.pack('=IHHII', 16 + len(body), 0x100, 0x601, number, 0) + body)
      if len(batch) == 400 or number == count - 1:
        s.send(b''.join(batch)); batch = []
    """

  @Test(.enabled(if: limit <= 300_000))
  func `in a full table new connections fail, established ones go on, and it is shown`() throws {
    let bench = try EdgeBench()
    #expect(
      try bench.desire { $0.nat = [natRule("masquerade") { $0.masquerade = NLMasquerade() }] }.error.isEmpty)
    try bench.serve([80], in: bench.server)
    // What ended before would leave the full table one by one, and make room.
    try ConntrackSocket(in: bench.node.namespace).flush()
    let path = try bench.script(
      "talk",
      """
      import os, socket, sys
      s = socket.create_connection(('10.8.0.2', 80), timeout=3); s.recv(100)
      os.mkfifo(sys.argv[1] + '/full')
      open(sys.argv[1] + '/talking', 'w').close()
      open(sys.argv[1] + '/full').read()  # until the table is full
      s.sendall(b'x'); print(s.recv(1), flush=True)
      """)
    try bench.run("python3 \(path) \(bench.directory) > \(bench.directory)/said 2>&1 &", in: bench.client)
    try bench.node.wait("ls \(bench.directory)") { $0.contains("talking") }
    let fill = try bench.script("fill", Self.fill)
    let said = try bench.run("python3 \(fill) \(Self.limit + 500)", in: bench.node.namespace)
    #expect(said.isEmpty, "\(said)")
    let count = try #require(
      Int(try bench.node.output("cat /proc/sys/net/netfilter/nf_conntrack_count").dropLast()))
    #expect(count >= Self.limit)
    #expect(try bench.connect("10.8.0.2", 80, in: bench.client) == "timeout")
    try bench.run("timeout 5 sh -c ': > \(bench.directory)/full'", in: bench.client)
    try bench.node.wait("cat \(bench.directory)/said") { $0 == "b'x'\n" }
    let shown = try bench.query(.conntrack)
    #expect(shown.connectionLimit == UInt64(Self.limit) && shown.total >= shown.connectionLimit)
    #expect(shown.connections.count == 1000)
    try ConntrackSocket(in: bench.node.namespace).flush()
    #expect(try bench.connect("10.8.0.2", 80, in: bench.client) == "10.8.0.1")
  }

  private static let limit: Int =
    (try? Sysctl.read("net.netfilter.nf_conntrack_max")).flatMap { Int($0) } ?? .max
}
