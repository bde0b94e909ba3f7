import Foundation
import Testing

/// Every topology of the product proves what it claims, by the exit code of its own tests.
@Suite(.serialized) struct TopologyVerdictTests {
  static let holding = [
    "dual-isp", "asymmetric-return", "inbound-steering", "transit-leak-fixed", "next-hop-self", "private-asn",
    "failover", "lossy-wan",
    "peering-lan", "chain-200", "nat-edge", "nat-asymmetric", "qos-shaping-vs-policing", "sdn-path-steering",
    "flowspec-mitigation", "enterprise-edge", "mesh-basic", "mesh-canary", "mesh-mtls-strict", "mesh-over-wan",
    "anycast-service", "mesh-envoy-mixed", "containers",
  ]

  @Test("a topology that claims to hold does", arguments: holding)
  func holds(name: String) throws {
    let bench = try Bench()
    let run = try bench.netloom(["test", "\(Command.checkout)/topologies/\(name).yaml", "--junit", "report.xml"])
    #expect(run.exit == 0, "\(run.output)\n\(run.errors)")
    let report = try String(contentsOfFile: "\(bench.directory)/report.xml", encoding: .utf8)
    #expect(report.contains("<testcase ") && !report.contains("<failure"), "\(report)")
  }

  @Test("the leak is a failure by exit code, named, with the packets that took it")
  func leak() throws {
    let bench = try Bench()
    let run = try bench.netloom(["test", "\(Command.checkout)/topologies/transit-leak.yaml", "--junit", "report.xml"])
    #expect(run.exit == 1, "\(run.output)\n\(run.errors)")
    #expect(run.output.contains("64500 64497"), "the leaked path is named: \(run.output)")
    let report = try String(contentsOfFile: "\(bench.directory)/report.xml", encoding: .utf8)
    #expect(report.contains("<failure type=\"failed\""))
    let line = try #require(report.split(separator: "\n").first { $0.hasPrefix("evidence: ") }, "\(report)")
    let folder = bench.directory + "/" + line.dropFirst("evidence: ".count)
    let captures = try Command.shell("find '\(folder)' -name '*.pcapng' | head -1").output.split(separator: "\n")
    let capture = try #require(captures.first, "\(folder) holds a capture")
    // The second source: tshark must see one packet on both of the customer's links.
    let seen = try Command.run(
      "tshark",
      [
        "-r", String(capture), "-Y", "ip.dst == 198.51.100.0/24 || ip.src == 198.51.100.0/24", "-T", "fields", "-e",
        "frame.interface_name",
      ])
    let interfaces = Set(seen.output.split(separator: "\n").map(String.init))
    #expect(interfaces.isSuperset(of: ["customer:eth1", "customer:eth2"]), "\(interfaces)")
  }

  @Test("BIRD, FRR, GoBGP and OpenBGPD are neighbors of one router")
  func realDaemons() throws {
    let bench = try Bench()
    let run = try bench.netloom(["test", "\(Command.checkout)/topologies/real-daemons.yaml"])
    #expect(run.exit == 0, "\(run.output)\n\(run.errors)")
  }

  @Test("every topology file is valid, and its schema agrees")
  func valid() throws {
    let bench = try Bench()
    let schema = try bench.netloom(["schema"])
    #expect(schema.exit == 0)
    let path = try bench.file("schema.json", schema.output)
    for name in try FileManager.default.contentsOfDirectory(atPath: "\(Command.checkout)/topologies")
    where name.hasSuffix(".yaml") {
      let file = "\(Command.checkout)/topologies/\(name)"
      #expect(try bench.netloom(["validate", file]).exit == 0, "\(name)")
    }
    #expect(try Command.run("jq", ["-e", ".\"$schema\"", path]).exit == 0)
  }
}
