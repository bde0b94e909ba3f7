import NetTypes

extension ScalarForm {
  static let nodeNamePattern = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"

  /// Lab and node names.
  static let name = ScalarForm(
    "a name of at most 32 lower-case letters, digits and inner hyphens",
    schema: .anyOf([.text("^\(nodeNamePattern)$", maxLength: 32), .integer(0...Int.max)])
  ) { text in
    if text.utf8.count > 32 { return .because("\(text.utf8.count) characters are too many") }
    if text == "localhost" { return .because("every node has this name for itself") }
    let fine = text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
    if !fine, text.contains(where: \.isUppercase) { return .because("upper case is not used in names") }
    return !fine || text.isEmpty || text.hasPrefix("-") || text.hasSuffix("-") ? .plain : nil
  }

  /// The name of something that must exist; whether it does is checked where it is looked up.
  static func reference(_ what: String) -> ScalarForm { .text(what) }

  static let interface = parsed(
    "an interface name of at most 15 characters", schema: .text("^[^/:\\s]{1,15}$"), { InterfaceName($0) })

  /// `NODE` or `NODE:IFACE`.
  static let endpoint = ScalarForm(
    "`NODE` or `NODE:INTERFACE`",
    schema: .anyOf([.text("^\(nodeNamePattern)(:[^/:\\s]{1,15})?$"), .integer(0...Int.max)])
  ) { text in
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 2, let node = parts.first, !node.isEmpty else { return .plain }
    guard parts.count == 2 else { return nil }
    if InterfaceName(parts[1]) != nil {
      return parts[1] == "lo" ? .because("`lo` is the loopback of every node") : nil
    }
    return parts[1].utf8.count > 15 ? .because("an interface name has at most 15 characters") : .plain
  }

  /// `NODE:IFACE`.
  static let exactEndpoint = ScalarForm(
    "`NODE:INTERFACE`", schema: .text("^\(nodeNamePattern):[^/:\\s]{1,15}$")
  ) { text in
    text.contains(":") ? endpoint.check(text) : .plain
  }

  static let policyName = ScalarForm(
    "a name of letters, digits, `-` and `_`", schema: .text("^[A-Za-z0-9_-]+$", maxLength: 64)
  ) { text in
    if text == "accept" || text == "reject" { return .because("the word is taken") }
    let fine = text.utf8.allSatisfy {
      (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || $0 == 45 || $0 == 95
    }
    return fine && !text.isEmpty && text.utf8.count <= 64 ? nil : .plain
  }

  /// A dotted or slashed name under net: the only part of /proc/sys that belongs to a network namespace.
  static let sysctl = ScalarForm(
    "a kernel setting such as net.ipv4.ip_default_ttl", schema: .text("^net[./][A-Za-z0-9_./-]+$")
  ) { text in
    let fine = text.utf8.allSatisfy {
      (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || "_-./".utf8.contains($0)
    }
    guard fine, !text.contains(".."), !text.contains("//") else { return .plain }
    return text.hasPrefix("net.") || text.hasPrefix("net/") ? nil : .because("only `net.` settings belong to a node")
  }

  static let environmentName = ScalarForm(
    "a variable name of letters, digits and `_`", schema: .text("^[A-Za-z_][A-Za-z0-9_]*$")
  ) { text in
    let fine = text.utf8.allSatisfy {
      (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || $0 == 95
    }
    return fine && !(text.first?.isNumber ?? true) ? nil : .plain
  }

  /// TCP-MD5 keys: the kernel takes 80 bytes (TCP_MD5SIG_MAXKEYLEN).
  static let md5 = ScalarForm("a password of 1 to 80 bytes", schema: .text(maxLength: 80)) { text in
    if text.isEmpty { return .plain }
    return text.utf8.count <= 80 ? nil : .because("\(text.utf8.count) bytes are too many")
  }

  /// Any text, also an empty one.
  static let anyText = ScalarForm("text", schema: .scalar) { _ in nil }
}
