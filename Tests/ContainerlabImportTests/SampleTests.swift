import ContainerlabImport
import Foundation
import NetTypes
import Testing
import Topology

private let folder = URL(fileURLWithPath: #filePath)
  .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
  .appendingPathComponent("topologies/imported").path

private func campus(_ target: String) throws -> ImportedTopology {
  let result = ContainerlabFile.load(
    path: folder + "/campus.clab.yml", environment: [:], target: .init(path: target))
  #expect(result.diagnostics.isEmpty, "\(result.diagnostics)")
  return try #require(result.value)
}

@Test func theSampleBecomesTheFileBesideIt() throws {
  let result = try campus(folder + "/campus.yaml")
  #expect(try result.text == String(contentsOfFile: folder + "/campus.yaml", encoding: .utf8))
  #expect(result.warnings.isEmpty, "\(result.warnings)")
}

@Test func theSampleIsTheNetworkThatContainerlabWouldBuild() throws {
  let result = try campus(folder + "/campus.yaml")
  let lab = result.lab
  #expect(
    lab.nodes.map { "\($0.name) \($0.kind)" } == [
      "h1 host", "edge frr", "core bird", "lan switch", "h2 host", "h3 host",
    ])
  #expect(lab.nodes.map { $0.asn?.rawValue } == [nil, 65001, 65002, nil, nil, nil])
  #expect(
    result.addresses == [
      "h1:eth1 192.0.2.10/24 2001:db8:1::10/64", "edge:eth1 192.0.2.1/24 2001:db8:1::1/64",
      "edge:eth2 203.0.113.0/31 2001:db8:12::/127", "core:eth1 203.0.113.1/31 2001:db8:12::1/127",
      "core:eth2 198.51.100.1/24 2001:db8:2::1/64", "h2:eth1 198.51.100.2/24 2001:db8:2::2/64",
      "h3:eth1 198.51.100.3/24 2001:db8:2::3/64",
    ])
  // The servers' default route is that of their group; nothing is left for the shell.
  #expect(result.routes("h3") == ["0.0.0.0/0 via 198.51.100.1 dev eth1", "::/0 via 2001:db8:2::1 dev eth1"])
  #expect(lab.nodes.allSatisfy { $0.exec.isEmpty })
  #expect(lab.node("edge")?.loopbacks.map { "\($0)" } == ["10.255.1.1/32"])
  #expect(lab.node("h3")?.functions.published.map { "\($0.outer):\($0.inner)" } == ["8080:80"])
}

@Test func theSampleSaysByNameWhatWasLeftOut() throws {
  let result = try campus(folder + "/campus.yaml")
  #expect(result.lost.count == 3)
  #expect(result.lost[0].hasPrefix("8:1: `mgmt`"))
  #expect(result.lost[1].hasPrefix("45:13: node `leaf`: kind `nokia_srlinux`"))
  #expect(result.lost[2].hasPrefix("64:7: link `edge:eth3` to `leaf:e1-1`"))
}

@Test func pathsOfConfigurationsStartWhereTheFileWillStand() throws {
  let result = try campus(folder + "/../elsewhere.yaml")
  #expect(result.text.contains("config: imported/campus/frr.conf"))
  let standsDeeper = try campus(folder + "/campus/deep.yaml")
  #expect(standsDeeper.text.contains("config: frr.conf"))
}

@Test func theSameFilesGiveTheSameBytes() throws {
  let texts = try Set((0..<5).map { _ in try campus(folder + "/campus.yaml").text })
  #expect(texts.count == 1)
}

@Test func theResultIsWrittenWholeAndNeverOverItsSource() throws {
  let clab = try ClabFolder(["lab.clab.yml": "name: x", "old.yaml": "old"])
  #expect(throws: OutputFile.Problem.isTheSource) {
    try OutputFile.write("new", to: clab.path + "/./lab.clab.yml", from: clab.path + "/lab.clab.yml")
  }
  try OutputFile.write("new", to: clab.path + "/old.yaml", from: clab.path + "/lab.clab.yml")
  #expect(try String(contentsOfFile: clab.path + "/old.yaml", encoding: .utf8) == "new")
  #expect(throws: OutputFile.Problem.system("No such file or directory")) {
    try OutputFile.write("new", to: clab.path + "/none/new.yaml", from: clab.path + "/lab.clab.yml")
  }
  #expect(try FileManager.default.contentsOfDirectory(atPath: clab.path).sorted() == ["lab.clab.yml", "old.yaml"])
}
