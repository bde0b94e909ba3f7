internal import CLinux
internal import Glibc
internal import Topology

/// Programs of others that labs can use, with the versions that they say they are.
enum HostPrograms {
  static func findings() -> [Finding] {
    let daemons: [(kind: NodeKind, arguments: String)] = [
      (.bird, "--version"), (.frr, "--version"), (.gobgp, "--version"), (.openbgpd, "-V"),
    ]
    var findings = daemons.map { kind, arguments in
      let package = Preflight.daemons[kind]?.package ?? kind.rawValue
      return finding(
        kind.rawValue, Preflight.program(of: kind), arguments,
        without: "nodes of kind \(kind.rawValue) cannot run: apt-get install \(package)")
    }
    findings.append(finding("tcpdump", Programs.find("tcpdump"), "--version", without: "not needed: netloom captures itself"))
    findings.append(
      finding("tshark", Programs.find("tshark"), "--version", without: "open captures elsewhere, or: apt-get install tshark"))
    findings += ownPrograms()
    return findings
  }

  private static func finding(_ name: String, _ path: String?, _ arguments: String, without: String) -> Finding {
    guard let path else { return Finding(feature: name, available: false, need: .optional, meaning: without) }
    return Finding(feature: name, available: true, need: .optional, meaning: version(of: path, arguments) ?? path)
  }

  /// The first line that the program prints about itself.
  private static func version(of path: String, _ arguments: String) -> String? {
    guard let stream = popen("'\(path)' \(arguments) 2>&1 </dev/null", "r") else { return nil }
    defer { pclose(stream) }
    var line = [CChar](repeating: 0, count: 256)
    guard fgets(&line, Int32(line.count), stream) != nil else { return nil }
    let text = line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    let words = String(decoding: text, as: UTF8.self).split(whereSeparator: \.isWhitespace)
    return words.isEmpty ? nil : words.prefix(6).joined(separator: " ")
  }

  private static func ownPrograms() -> [Finding] {
    ["netloom-machine", "netloom-controller", "netloom-node", "netloom-probe"].map { name in
      let path = try? Programs.own(name)
      return Finding(
        feature: name, available: path != nil, need: .required,
        meaning: path ?? "missing beside netloom: build it, or keep the programs in one directory")
    }
  }
}
