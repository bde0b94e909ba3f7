import Foundation
import Intent
import Testing
import Topology

/// Resolves a topology that is known to be right.
func lab(_ yaml: String, in directory: String = "/base", sourceLocation: SourceLocation = #_sourceLocation) throws
  -> ResolvedLab
{
  let parsed = TopologyFile.parse(text: yaml, file: "lab.yaml", baseDirectory: directory)
  return try #require(parsed.value, "\(parsed.diagnostics)", sourceLocation: sourceLocation)
}

/// One AS of three routers, and another AS behind the third.
///
///          cost 1
///     r1 ───────── r2
///       \          │ cost 1
///        \ cost 2  │
///         ──────── r3 ──── e1 (AS 65001)
let triangle = """
  name: triangle
  addressing: {links: [10.0.0.0/16, "fd00:10::/32"], loopbacks: [10.255.0.0/16, "fd00:10:ffff::/48"]}
  topology:
    nodes:
      r1: {kind: router, asn: 65000, networks: [192.0.2.0/24], loopback: [10.255.0.1/32]}
      r2: {kind: router, asn: 65000, loopback: [10.255.0.2/32]}
      r3: {kind: router, asn: 65000, loopback: [10.255.0.3/32]}
      e1: {kind: router, asn: 65001, networks: [198.51.100.0/24]}
      h1: {kind: host}
    links:
      - {endpoints: ["r1:eth1", "r2:eth1"], addresses: [[10.1.12.1/24], [10.1.12.2/24]]}
      - {endpoints: ["r2:eth2", "r3:eth2"], addresses: [[10.1.23.2/24], [10.1.23.3/24]]}
      - {endpoints: ["r1:eth3", "r3:eth3"], cost: 2, addresses: [[10.1.13.1/24], [10.1.13.3/24]]}
      - {endpoints: ["r3:eth1", "e1:eth1"], relation: peer-peer, addresses: [[10.9.0.1/30], [10.9.0.2/30]]}
      - {endpoints: ["h1:eth1", "r2:eth9"], addresses: [[172.16.0.2/24], [172.16.0.1/24]]}
  """

/// A directory with the configuration of a daemon, which Topology wants to be able to read.
func directoryWithBirdConfiguration() throws -> String {
  let path = NSTemporaryDirectory() + "netloom-intent-\(UUID().uuidString)"
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  try Data("router id 10.9.0.2;\n".utf8).write(to: URL(fileURLWithPath: path + "/bird.conf"))
  return path
}
