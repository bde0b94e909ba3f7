import CLinux
import ControlProtocol
import EventLoop
import Foundation
import Glibc
import NetTypes
import Netlink
import SwiftProtobuf
import Testing

@testable import NodeAgent

/// A router under an agent between two hosts, each in a namespace of its own, with real packets between them:
///
///   client 10.7.0.2 fd07::2  ── eth1 10.7.0.1 fd07::1  router  10.8.0.1 fd08::1 eth2 ──  10.8.0.2 fd08::2 server
///
/// The hosts' default routes lead to the router.
final class EdgeBench {
  let node: LabNode
  let client: Namespace
  let server: Namespace
  let directory: String
  private var running: [Int32] = []
  private var version: UInt64 = 0
  private var change: UInt64 = 0

  init() throws {
    var template = Array("/tmp/netloom-edge-test-XXXXXX".utf8CString)
    directory = String(cString: try #require(mkdtemp(&template)))
    node = try LabNode(hosts: 2)
    (client, server) = (node.hosts[0], node.hosts[1])
    for (number, host) in node.hosts.enumerated() {
      let name = "eth\(number + 1)"
      try run(
        """
        ip link set lo up; ip addr add 10.\(7 + number).0.2/24 dev \(name)
        ip addr add fd0\(7 + number)::2/64 dev \(name) nodad
        ip route add default via 10.\(7 + number).0.1; ip -6 route add default via fd0\(7 + number)::1
        """, in: host)
    }
    try run(
      """
      ip link set lo up; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
      """, in: node.namespace)
    _ = try node.controller.hello()
    // Addresses of IPv6 are tentative for a while otherwise, and those of the link, with their routes, come when the
    // kernel has noticed that there is a carrier: on a busy machine after a second.
    try node.wait("ip -6 -br addr show scope link; ip -6 addr show tentative") { shown in
      shown.split(separator: "\n").count == 2 && shown.contains("eth1") && shown.contains("eth2")
    }
  }

  deinit {
    for pid in running { kill(pid, SIGKILL) }
    try? FileManager.default.removeItem(atPath: directory)
  }

  @discardableResult func run(_ command: String, in namespace: Namespace) throws -> String {
    try namespace.run { () throws(KernelError) in
      guard let pipe = popen("{ \(command)\n} 2>&1", "r") else { throw KernelError(call: "popen", subject: command) }
      defer { pclose(pipe) }
      var bytes: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 65536)
      while case let count = fread(&chunk, 1, chunk.count, pipe), count > 0 { bytes += chunk[..<count] }
      return String(decoding: bytes, as: UTF8.self)
    }
  }

  /// Leaves a program running until the bench goes.
  func start(_ command: String, in namespace: Namespace) throws {
    let text = try run("\(command) > \(directory)/log 2>&1 & echo $!", in: namespace)
    running.append(try #require(Int32(text.split(separator: "\n").last ?? "")))
  }

  func script(_ name: String, _ text: String) throws -> String {
    let path = "\(directory)/\(name).py"
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  /// Answers each TCP connection with whom it sees, and echoes what it gets from then on.
  func serve(_ ports: [Int], in namespace: Namespace) throws {
    let path = try script(
      "serve",
      """
      import socket, sys, threading
      def talk(c, peer):
        try:
          c.sendall((peer[0].replace('::ffff:', '') + '\\n').encode())
          while (data := c.recv(4096)): c.sendall(data)
        except OSError: pass
      def listen(port):
        s = socket.create_server(('::', port), family=socket.AF_INET6, dualstack_ipv6=True)
        while True:
          c, peer = s.accept()
          threading.Thread(target=talk, args=(c, peer), daemon=True).start()
      for port in sys.argv[1:]: threading.Thread(target=listen, args=(int(port),)).start()
      """)
    try start("python3 \(path) \(ports.map(String.init).joined(separator: " "))", in: namespace)
    for port in ports {
      let deadline = EventLoop.clock() + EventLoop.milliseconds(5000)
      while try run("ss -Hltn sport = :\(port)", in: namespace).isEmpty {  // poll
        try #require(EventLoop.clock() < deadline, "nobody listens at \(port)")
      }
    }
  }

  /// Whom the server at an address saw; or why there was no answer: `refused`, `timeout`.
  func connect(_ address: String, _ port: Int, in namespace: Namespace) throws -> String {
    let path = try script(
      "connect",
      """
      import socket, sys
      try:
        s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3]))
        print(s.recv(100).decode().strip())
      except ConnectionRefusedError: print('refused')
      except OSError as e: print('timeout' if 'timed out' in str(e) else e)
      """)
    return try run("python3 \(path) \(address) \(port) 1", in: namespace).trimmingCharacters(in: .newlines)
  }

  // MARK: The agent

  func desire(_ fill: (inout NLDataPlane) throws -> Void) throws -> NLAck {
    version += 1
    var plane = NLDataPlane()
    try fill(&plane)
    return try node.controller.ask { message in
      message.desired.version = version
      message.desired.dataPlane = plane
    }.ack
  }

  func prepare(_ fill: (inout NLDataPlane) throws -> Void) throws -> NLChangeReply {
    version += 1
    change += 1
    var desired = NLDesired()
    desired.version = version
    try fill(&desired.dataPlane)
    return try node.controller.ask { message in
      message.change.id = change
      message.change.step = .prepare
      message.change.resources = [desired]
    }.changeReply
  }

  func step(_ step: NLChange.Step) throws -> NLChangeReply {
    try node.controller.ask { message in
      message.change.id = change
      message.change.step = step
    }.changeReply
  }

  func query(_ kind: NLQuery.Kind) throws -> NLQueryReply {
    try node.controller.ask { $0.query.kind = kind }.queryReply
  }

  func listing() throws -> String { try run("nft -s list ruleset", in: node.namespace) }
}

func origin(_ text: String, _ place: String = "") -> NLOrigin {
  NLOrigin.with { ($0.text, $0.place) = (text, place) }
}

func addresses(_ first: String, _ last: String? = nil) throws -> NLAddressRange {
  let (low, high) = (try #require(IPAddress(first)), try #require(IPAddress(last ?? first)))
  return NLAddressRange.with { ($0.first, $0.last) = (low.data, high.data) }
}

func ports(_ first: UInt32, _ last: UInt32? = nil) -> NLPortRange {
  NLPortRange.with { ($0.first, $0.last) = (first, last ?? first) }
}

func natRule(_ text: String, _ fill: (inout NLNATRule) throws -> Void) rethrows -> NLNATRule {
  var rule = NLNATRule()
  rule.origin = origin(text, "lab.yaml:1:1")
  try fill(&rule)
  return rule
}

func filterRule(
  _ text: String, _ then: NLFilterRule.Verdict, _ fill: (inout NLPacketMatch) throws -> Void
) rethrows -> NLFilterRule {
  var rule = NLFilterRule()
  rule.origin = origin(text, "lab.yaml:2:1")
  rule.then = then
  var match = NLPacketMatch()
  try fill(&match)
  if match != NLPacketMatch() { rule.match = match }
  return rule
}

/// Of every packet.
func filterRule(_ text: String, _ then: NLFilterRule.Verdict) -> NLFilterRule { filterRule(text, then) { _ in } }
