/// What becomes of a node's keys: one row each. A key that is not here is one that containerlab has got since.
enum NodeKeys {
  enum Fate {
    /// Read by this module.
    case carried
    /// About drawings and about containers as containers: nothing of the network is lost.
    case meaningless
    /// Lost, for this reason.
    case lost(String)
  }

  static func fate(_ key: String) -> Fate {
    if carried.contains(key) { return .carried }
    if meaningless.contains(key) || key.hasPrefix("graph-") { return .meaningless }
    return .lost(reasons[key] ?? "netloom has nothing of that name")
  }

  private static let carried: Set = [
    "kind", "group", "image", "exec", "cmd", "env", "labels", "sysctls", "ports", "binds", "startup-config",
    "network-mode",
  ]

  private static let meaningless: Set = [
    "position", "image-pull-policy", "auto-remove", "restart-policy", "runtime", "sandbox", "kernel", "cap-add",
    "privileged", "suppress-startup-config", "enforce-startup-config",
  ]

  private static let management = "netloom has no management network: `netloom exec NODE` needs none"
  private static let limits = "processes of a node have the machine's CPUs and memory"
  private static let vendor = "only vendor images have it"

  private static let reasons = [
    "mgmt-ipv4": management, "mgmt-ipv6": management, "mgmt_ipv4": management, "mgmt_ipv6": management,
    "cpu": limits, "cpu-set": limits, "memory": limits, "shm-size": limits,
    "license": vendor, "type": vendor, "components": vendor, "credentials": vendor, "certificate": vendor,
    "config": vendor, "extras": vendor,
    "user": "processes of a lab are those of who runs it",
    "entrypoint": "it is a program of the image; write what it starts under `cmd`",
    "env-files": "write their variables under `env`",
    "dns": "a node has the machine's resolv.conf, and every node's name in /etc/hosts",
    "devices": "a node has the machine's devices",
    "stages": "nodes start together, `exec` before `cmd`; a test waits with `within:`",
    "startup-delay": "nodes start together; a test waits with `within:`",
    "wait-for": "nodes start together; a test waits with `within:`",
    "healthcheck": "write a test instead",
    "aliases": "a node has one name in /etc/hosts",
  ]
}
