/// The members of config.json (OCI runtime specification 1.0) that a container of a lab has.
struct RuntimeSpec: Encodable {
  var ociVersion = "1.0.0"
  var process: Process
  var root: Root
  var mounts: [Mount]
  var linux = Linux()

  struct Root: Encodable {
    var path: String
  }

  struct Process: Encodable {
    var terminal = false
    var user: ContainerBundle.ImageRuntime.User
    var args: [String]
    var env: [String]
    var cwd: String
    var capabilities: Capabilities
    var noNewPrivileges = false
  }

  struct Capabilities: Encodable {
    var bounding: [String]
    var effective: [String]
    var permitted: [String]

    /// What images made elsewhere are used to, and what a program that looks at its network needs.
    static let usual: Capabilities = {
      let names = [
        "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW",
        "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT", "AUDIT_WRITE",
      ].map { "CAP_" + $0 }
      return Capabilities(bounding: names, effective: names, permitted: names)
    }()
  }

  struct Mount: Encodable {
    var destination: String
    var type: String
    var source: String
    var options: [String]

    static let usual: [Mount] = [
      Mount(destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"]),
      Mount(
        destination: "/dev", type: "tmpfs", source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
      Mount(
        destination: "/dev/pts", type: "devpts", source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
      Mount(
        destination: "/dev/shm", type: "tmpfs", source: "shm",
        options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
      Mount(destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"]),
      Mount(destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"]),
    ]

    static func bind(_ source: String, _ destination: String, readOnly: Bool) -> Mount {
      Mount(
        destination: destination, type: "bind", source: source, options: ["rbind", readOnly ? "ro" : "rw"])
    }
  }

  /// The network and the host name are the node's, which the runtime is started in.
  struct Linux: Encodable {
    struct Namespace: Encodable {
      var type: String
    }

    var namespaces = ["pid", "mount", "ipc"].map(Namespace.init)
    var maskedPaths = [
      "/proc/kcore", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
    ]
    var readonlyPaths = ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
  }
}
