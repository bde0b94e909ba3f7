/// The routing daemons that a node of kind `linux` may be, and how that is seen.
enum DaemonProgram: String, CaseIterable {
  case frr, bird, gobgp, openbgpd

  /// Where it reads its configuration in usual images.
  var targets: [String] {
    switch self {
    case .frr: ["/etc/frr/frr.conf"]
    case .bird:
      [
        "/etc/bird/bird.conf", "/etc/bird.conf", "/usr/local/etc/bird.conf", "/usr/local/etc/bird/bird.conf",
        "/opt/bird/etc/bird.conf", "/opt/bird/bird.conf",
      ]
    case .gobgp: ["/etc/gobgp/gobgp.toml", "/etc/gobgp/gobgp.conf", "/etc/gobgp.conf", "/gobgp.toml", "/gobgp.conf"]
    case .openbgpd: ["/etc/bgpd.conf", "/etc/openbgpd/bgpd.conf", "/usr/local/etc/bgpd.conf"]
    }
  }

  /// Files of it that netloom makes itself, or reads here.
  var ownFiles: Set<String> {
    self == .frr ? ["/etc/frr/daemons", "/etc/frr/vtysh.conf"] : []
  }

  /// Last parts of image names.
  private var images: [String] {
    switch self {
    case .frr: ["frr", "frrouting"]
    case .bird: ["bird", "bird2", "bird3"]
    case .gobgp: ["gobgp", "gobgpd"]
    case .openbgpd: ["openbgpd", "bgpd"]
    }
  }

  /// `quay.io/frrouting/frr:10.1.0` is FRR.
  init?(image: String) {
    let bare = image.split(separator: "@")[safe: 0] ?? ""
    let path = bare.lowercased().split(separator: "/")
    let parts = path.enumerated().map { index, part in
      // A colon in the last part is the tag; in the first, the port of a registry.
      index == path.count - 1 ? part.prefix { $0 != ":" } : part
    }
    for part in parts.reversed() {
      let words = part.split { $0 == "-" || $0 == "_" || $0 == "." }.map(String.init)
      if let match = Self.allCases.first(where: { program in words.contains { program.images.contains($0) } }) {
        self = match
        return
      }
    }
    return nil
  }

  /// A program that starts this daemon: netloom does that itself.
  func isStart(_ words: [String]) -> Bool {
    guard let first = words.first else { return false }
    let program = first.split(separator: "/").last.map(String.init) ?? first
    switch self {
    case .frr:
      if first.hasPrefix("/usr/lib/frr/") || first.hasPrefix("/usr/libexec/frr/") { return true }
      if first == "/etc/init.d/frr" || first == "/usr/bin/docker-start" { return true }
      if ["zebra", "bgpd", "staticd", "watchfrr", "frrinit.sh", "docker-start"].contains(program) { return true }
    case .bird: if ["bird", "bird6", "bird2"].contains(program) { return true }
    case .gobgp: if program == "gobgpd" { return true }
    case .openbgpd: if program == "bgpd" { return true }
    }
    return ["service", "systemctl", "rc-service"].contains(program) && words.dropFirst().contains { isService($0) }
  }

  private func isService(_ word: String) -> Bool {
    let name = word.hasSuffix(".service") ? String(word.dropLast(8)) : word
    return images.contains(name) || name == rawValue
  }

  /// `touch`, `chown`, `chmod`, `sed -i` and the like of files in its folder, which the container has and a node has not.
  func isHousekeeping(_ words: [String]) -> Bool {
    guard let first = words.first, ["touch", "chown", "chmod", "sed", "mkdir", "cp"].contains(first) else {
      return false
    }
    let folders = Set(targets.map { Paths.directory(of: $0) }).subtracting(["/", "/etc"])
    return words.dropFirst().contains { word in folders.contains { word == $0 || word.hasPrefix($0 + "/") } }
  }
}

extension Collection {
  subscript(safe offset: Int) -> Element? {
    guard offset >= 0, let position = index(startIndex, offsetBy: offset, limitedBy: endIndex), position != endIndex
    else { return nil }
    return self[position]
  }
}
