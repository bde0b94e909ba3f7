import ControlProtocol
import Foundation
import NetTypes
import Probe

/// A small lab made by `ip` in unnamed network namespaces, each held by one sleeping process of ours.
///
/// Links "a:eth1-b:eth2" get 10.99.K.0/30 and fd00:99:K::/64 in order (K from 1), the first end .1 and ::1.
final class NamespaceLab {
  struct Failure: Error { var text: String }

  let nodes: [String]
  private let links: [[(node: String, interface: String)]]
  private var holders: [String: Process] = [:]
  private let hosts: Set<String>

  static let canRun = geteuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/bin/nsenter")

  init(_ links: [String], hosts: Set<String>) throws {
    self.hosts = hosts
    self.links = links.map { link in
      link.split(separator: "-").map { end in
        let parts = end.split(separator: ":")
        return (String(parts[0]), String(parts[1]))
      }
    }
    var names: [String] = []
    for end in self.links.joined() where !names.contains(end.node) { names.append(end.node) }
    nodes = names
    for name in names {
      let holder = Process()
      holder.executableURL = URL(fileURLWithPath: "/usr/bin/unshare")
      // It says when it stands in its namespace, and closes the pipe so that nobody waits for its end.
      holder.arguments = ["--net", "sh", "-c", "echo; exec sleep 300 > /dev/null"]
      let standing = Pipe()
      // Not ours: whoever reads the tests' output would wait for its end.
      holder.standardInput = FileHandle.nullDevice
      holder.standardOutput = standing
      holder.standardError = FileHandle.nullDevice
      try holder.run()
      holders[name] = holder
      guard standing.fileHandleForReading.availableData == Data("\n".utf8) else {
        throw Failure(text: "no namespace for \(name)")
      }
    }
    try build()
  }

  deinit { for holder in holders.values { holder.terminate() } }

  func pid(_ node: String) -> Int32 { holders[node]?.processIdentifier ?? 0 }

  private func build() throws {
    var script = "set -e\n"
    for (index, link) in links.enumerated() {
      let (a, b) = (link[0], link[1])
      script +=
        "ip link add \(a.interface) netns \(pid(a.node)) type veth peer name \(b.interface) netns \(pid(b.node))\n"
      for (side, end) in link.enumerated() {
        let enter = "nsenter --net=/proc/\(pid(end.node))/ns/net"
        script += """
          \(enter) sh -ec 'sysctl -qw net.ipv6.conf.\(end.interface).accept_dad=0; ip link set \(end.interface) up; \
          ip addr add 10.99.\(index + 1).\(side + 1)/30 dev \(end.interface); \
          ip addr add fd00:99:\(index + 1)::\(side + 1)/64 dev \(end.interface) nodad'

          """
      }
    }
    for node in nodes {
      let forwarding = hosts.contains(node) ? 0 : 1
      script += """
        nsenter --net=/proc/\(pid(node))/ns/net sh -ec 'ip link set lo up; \
        sysctl -qw net.ipv4.ip_forward=\(forwarding) net.ipv6.conf.all.forwarding=\(forwarding) \
        net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0; \
        for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done'

        """
    }
    try Self.shell(script)
  }

  /// The address of one end of a link.
  func address(_ place: String, _ family: AddressFamily = .ipv4) -> String {
    for (index, link) in links.enumerated() {
      for (side, end) in link.enumerated() where "\(end.node):\(end.interface)" == place {
        return family == .ipv4 ? "10.99.\(index + 1).\(side + 1)" : "fd00:99:\(index + 1)::\(side + 1)"
      }
    }
    return ""
  }

  /// Default routes (IPv4 and IPv6) of a node by the far end of one of its links.
  func route(_ node: String, to prefixes: [String] = ["default"], via place: String) throws {
    for prefix in prefixes {
      if prefix == "default" || !prefix.contains(":") {
        try run(node, "ip -4 route replace \(prefix) via \(address(place))")
      }
      if prefix == "default" || prefix.contains(":") {
        try run(node, "ip -6 route replace \(prefix) via \(address(place, .ipv6))")
      }
    }
  }

  /// Both subnets of a link, for routes.
  func subnets(_ link: Int) -> [String] { ["10.99.\(link).0/30", "fd00:99:\(link)::/64"] }

  @discardableResult
  func run(_ node: String, _ command: String) throws -> String {
    try Self.shell("exec nsenter --net=/proc/\(pid(node))/ns/net sh -ec '\(command)'")
  }

  /// A program in a node, running until it is terminated.
  func start(_ node: String, _ arguments: [String], output: Pipe? = nil, error: Pipe? = nil) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/nsenter")
    process.arguments = ["--net=/proc/\(pid(node))/ns/net"] + arguments
    if let output { process.standardOutput = output }
    process.standardError = error ?? FileHandle.nullDevice
    try process.run()
    return process
  }

  @discardableResult
  static func shell(_ script: String) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", script]
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw Failure(text: "\(script): \(text)") }
    return text
  }

  /// h1 - a - b - web, with routes both ways.
  static func line() throws -> NamespaceLab {
    let lab = try NamespaceLab(["h1:eth1-a:eth0", "a:eth1-b:eth0", "b:eth1-web:eth1"], hosts: ["h1", "web"])
    try lab.route("h1", via: "a:eth0")
    try lab.route("a", via: "b:eth0")
    try lab.route("b", via: "a:eth1")
    try lab.route("web", via: "b:eth1")
    return lab
  }

  /// A trace over the whole lab.
  func request(
    _ from: String, _ to: String, _ destination: String, _ proto: NLProtocol = .icmp, port: UInt32 = 0
  ) -> NLTraceRequest {
    var request = NLTraceRequest()
    request.from = from
    request.to = to
    request.destination = Data(IPAddress(destination)?.bytes ?? [])
    request.protocol = proto
    request.port = port
    for (index, link) in links.enumerated() {
      var adjacency = NLAdjacency()
      (adjacency.nodeA, adjacency.interfaceA) = link[0]
      (adjacency.nodeB, adjacency.interfaceB) = link[1]
      request.adjacencies.append(adjacency)
      for end in link {
        var point = NLCapturePoint()
        (point.node, point.interface) = end
        point.pid = pid(end.node)
        point.description_p = "link \(index + 1)"
        request.points.append(point)
      }
    }
    for name in nodes {
      var node = NLProbeNode()
      node.name = name
      node.kind = hosts.contains(name) ? "host" : "router"
      node.pid = pid(name)
      for link in links {
        for end in link where end.node == name {
          for family in AddressFamily.allCases {
            node.addresses.append(Data(IPAddress(address("\(end.node):\(end.interface)", family))?.bytes ?? []))
          }
        }
      }
      request.nodes.append(node)
    }
    return request
  }
}

/// Carries a trace out here and now.
func trace(_ request: NLTraceRequest) -> NLTraceReply {
  var reply = NLTraceReply()
  Tracer.run(request) { reply = $0 }
  return reply
}
