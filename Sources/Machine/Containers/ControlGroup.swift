// Limits of a container, by control groups of version 1 or 2, where this machine lets us make them:
//
//   version 1   MEMORY/netloom/LAB/NODE and CPU/netloom/LAB/NODE
//   version 2   ROOT/netloom/LAB/NODE, the controllers given down on the way
//
// A group is a name: the outer parent of the lab removes them when it has ended.
import EventLoop
import Glibc

struct ControlGroup {
  struct Limits: Equatable {
    /// Bytes; 0: none.
    var memory: UInt64
    /// Thousandths of a processor; 0: none.
    var milliCPUs: UInt32
  }

  /// Directories of the groups.
  private(set) var directories: [String] = []
  /// Limits that this machine cannot set, and why.
  private(set) var warnings: [String] = []

  /// Files that a process writes itself into.
  var members: [String] { directories.map { $0 + "/cgroup.procs" } }

  init(lab: String, node: String, _ limits: Limits, hierarchies: Hierarchies = .ofThisMachine()) {
    if limits.memory > 0 {
      set("memory", lab, node, hierarchies) { isVersion2 in
        isVersion2
          ? [("memory.max", "\(limits.memory)"), ("memory.swap.max", "0")]
          : [("memory.limit_in_bytes", "\(limits.memory)")]
      }
    }
    if limits.milliCPUs > 0 {
      set("cpu", lab, node, hierarchies) { isVersion2 in
        // Microseconds of each tenth of a second.
        let quota = limits.milliCPUs * 100
        return isVersion2
          ? [("cpu.max", "\(quota) 100000")] : [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "\(quota)")]
      }
    }
  }

  private mutating func set(
    _ controller: String, _ lab: String, _ node: String, _ hierarchies: Hierarchies,
    _ settings: (_ isVersion2: Bool) -> [(file: String, value: String)]
  ) {
    do throws(SystemError) {
      guard let (root, isVersion2) = hierarchies.root(of: controller) else {
        throw SystemError("", ENOENT, "no control group of it is mounted")
      }
      var path = root
      for part in ["", "/netloom", "/" + lab, "/" + node] {
        path += part
        if !part.isEmpty { try makeDirectory(path, mode: 0o755) }
        if isVersion2, part != "/" + node {
          try SmallFile.overwrite(path + "/cgroup.subtree_control", "+" + controller)
        }
      }
      for (file, value) in settings(isVersion2) where file != "memory.swap.max" || access("\(path)/\(file)", F_OK) == 0
      {
        try SmallFile.overwrite("\(path)/\(file)", value)
      }
      if !directories.contains(path) { directories.append(path) }
    } catch {
      let reason = error.call.isEmpty ? error.detail : "\(error)"
      warnings.append("\(controller) is not limited here: \(reason)")
    }
  }

  /// How often the kernel killed one of its processes because its memory was used up.
  var memoryKills: UInt64 {
    for directory in directories {
      for file in ["memory.events", "memory.oom_control"] {
        guard let text = try? SmallFile.text("\(directory)/\(file)") else { continue }
        for line in text.split(separator: "\n") where line.hasPrefix("oom_kill ") {
          return UInt64(line.dropFirst("oom_kill ".count)) ?? 0
        }
      }
    }
    return 0
  }

  /// Removes the groups of a lab, which has ended. Nothing is said where there are none.
  static func remove(lab: String, hierarchies: Hierarchies = .ofThisMachine()) {
    for root in Set(["memory", "cpu"].compactMap { hierarchies.root(of: $0)?.path }) {
      let own = "\(root)/netloom/\(lab)"
      for node in Folder.entries(of: own) { _ = rmdir("\(own)/\(node)") }
      _ = rmdir(own)
      _ = rmdir("\(root)/netloom")
    }
  }
}

/// Where controllers are mounted.
struct Hierarchies {
  private var roots: [String: String] = [:]
  private var unified: String?

  /// - Parameter mounts: /proc/self/mountinfo (proc_pid_mountinfo(5)).
  init(mounts: String) {
    for line in mounts.split(separator: "\n") {
      let halves = line.split(separator: " - ", maxSplits: 1)
      guard halves.count == 2 else { continue }
      let left = halves[0].split(separator: " ")
      let right = halves[1].split(separator: " ")
      guard left.count > 4, right.count > 2 else { continue }
      if right[0] == "cgroup2" { unified = unified ?? String(left[4]) }
      guard right[0] == "cgroup" else { continue }
      for option in right[2].split(separator: ",") { roots[String(option)] = String(left[4]) }
    }
  }

  static func ofThisMachine() -> Hierarchies {
    Hierarchies(mounts: (try? SmallFile.text("/proc/self/mountinfo")) ?? "")
  }

  func root(of controller: String) -> (path: String, isVersion2: Bool)? {
    if let path = roots[controller] { return (path, false) }
    guard let unified, let text = try? SmallFile.text(unified + "/cgroup.controllers"),
      text.split(whereSeparator: \.isWhitespace).contains(Substring(controller))
    else { return nil }
    return (unified, true)
  }
}
