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
    findings.append(
      finding("tcpdump", Programs.find("tcpdump"), "--version", without: "not needed: netloom captures itself"))
    findings.append(
      finding(
        "tshark", Programs.find("tshark"), "--version", without: "open captures elsewhere, or: apt-get install tshark"))
    findings.append(
      finding("envoy", Programs.find("envoy"), "--version", without: "pods with `sidecar: envoy` cannot run"))
    findings += containers()
    findings += ownPrograms()
    return findings
  }

  /// What nodes with an image, and registries, need.
  private static func containers() -> [Finding] {
    let needs: [(program: String, arguments: String, without: String)] = [
      ("crun", "--version", "nodes with an `image` run by runc, or not at all: apt-get install crun"),
      ("runc", "--version", "not needed where crun is"),
      ("umoci", "--version", "images cannot be built or unpacked: apt-get install umoci"),
      ("skopeo", "--version", "images cannot be pulled or pushed: apt-get install skopeo"),
      ("docker-registry", "--version", "nodes of kind registry cannot run: apt-get install docker-registry"),
    ]
    return needs.map { finding($0.program, Programs.find($0.program), $0.arguments, without: $0.without) }
  }

  private static func finding(_ name: String, _ path: String?, _ arguments: String, without: String) -> Finding {
    guard let path else { return Finding(feature: name, available: false, need: .optional, meaning: without) }
    return Finding(feature: name, available: true, need: .optional, meaning: version(of: path, arguments) ?? path)
  }

  /// The first line with a number like 2.0 that the program prints about itself.
  private static func version(of path: String, _ arguments: String) -> String? {
    guard let stream = popen("'\(path)' \(arguments) 2>&1 </dev/null", "r") else { return nil }
    defer { pclose(stream) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, Int32(line.count), stream) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      guard text.contains(/[0-9]\.[0-9]/) else { continue }
      return text.split(whereSeparator: \.isWhitespace).prefix(6).joined(separator: " ")
    }
    return nil
  }

  private static func ownPrograms() -> [Finding] {
    ["netloom-machine", "netloom-controller", "netloom-node", "netloom-probe", "netloom-sidecar"].map { name in
      let path = try? Programs.own(name)
      return Finding(
        feature: name, available: path != nil, need: .required,
        meaning: path ?? "missing beside netloom: build it, or keep the programs in one directory")
    }
  }
}
