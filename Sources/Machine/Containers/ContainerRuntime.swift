// How a container is started: which runtime, with which files of the node's, and in which namespaces.
import ControlProtocol
import EventLoop
import FoundationEssentials
import Glibc
import Netlink

/// crun where it is installed: it starts in a fifth of runc's time.
struct ContainerRuntime {
  private let program: String
  private let isCrun: Bool
  private let lab: LabContext

  init(_ lab: LabContext) throws(BuildError) {
    self.lab = lab
    if let crun = lab.find("crun") {
      (program, isCrun) = (crun, true)
    } else if let runc = lab.find("runc") {
      (program, isCrun) = (runc, false)
    } else {
      throw BuildError("neither crun nor runc is installed (Debian: apt-get install crun)")
    }
  }

  /// The lab's own mounts, the node's network and host name; output to `NODE.cmd1.log`.
  func request(
    _ bundle: ContainerBundle, _ node: Node, _ group: ControlGroup, start: Int
  ) throws(BuildError) -> LoggedRequest {
    let launch = ContainerLaunch(
      id: "\(lab.plan.lab).\(node.name).\(bundle.directory.split(separator: "/").last ?? "").\(start)",
      lower: bundle.lower, upper: bundle.upper, work: bundle.work, root: bundle.root, runtime: program, isCrun: isCrun,
      pidFile: bundle.pidFile, state: bundle.directory + "/state", groups: group.members,
      userAttributes: !UserNamespace.isInitial)
    do {
      let data = try JSONEncoder().encode(launch)
      try SmallFile.write(bundle.directory + "/launch.json", data)
    } catch {
      throw BuildError("\(error)")
    }
    var logged = lab.request(
      [lab.program("netloom-machine"), "--container", bundle.directory], log: "\(node.name).cmd1")
    try node.placeBeside(&logged.request)
    return logged
  }
}

/// What a container sees of its node.
struct ContainerFiles {
  let mounts: [RuntimeSpec.Mount]

  init(_ lab: LabContext, _ node: Node) {
    let home = lab.directory.node(node.name)
    var mounts = [RuntimeSpec.Mount.bind(home + "/hosts", "/etc/hosts", readOnly: true)]
    if access("/etc/resolv.conf", R_OK) == 0 {
      mounts.append(.bind("/etc/resolv.conf", "/etc/resolv.conf", readOnly: true))
    }
    // A program that speaks xDS itself finds it where it does in every pod.
    let xds = home + "/run/netloom"
    if !node.plan.sidecar.isEmpty, access(xds, F_OK) == 0 {
      mounts.append(.bind(xds, "/run/netloom", readOnly: false))
    }
    self.mounts = mounts
  }
}

/// A shared lock on the image's `use`: for as long as it is held, nobody removes the image.
final class ImageUse {
  private let file: Int32

  init(_ image: FetchedImage) throws(SystemError) {
    let path = image.directory + "/use"
    let opened = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o644)
    let raw = opened.rawValue
    try systemCall("flock", path) { flock(raw, LOCK_SH | LOCK_NB) }
    file = opened.release()
  }

  deinit { close(file) }
}

extension Container {
  static func result(of reply: NLMachineReply, _ image: String) -> Result<FetchedImage, BuildError> {
    if let fetched = try? JSONDecoder().decode(FetchedImage.self, from: Data(reply.output)), reply.exit == 0 {
      return .success(fetched)
    }
    let said = String(decoding: reply.errorOutput, as: UTF8.self).split(separator: "\n").last.map(String.init)
    let text = reply.error.isEmpty ? said ?? "ended with \(reply.exit)" : reply.error
    let plain = text.replacing("netloom: ", with: "", maxReplacements: 1)
      .replacing("error: ", with: "", maxReplacements: 1)
    return .failure(BuildError("\(image) cannot be fetched: \(reply.timedOut ? "no answer in time" : plain)"))
  }
}

extension ContainerBundle.ImageRuntime {
  /// As the image names it: a number, or a name with or without SIG.
  var stopSignal: Int32? {
    guard let text = annotations?["org.opencontainers.image.stopSignal"], !text.isEmpty else { return nil }
    if let number = Int32(text) { return (1...64).contains(number) ? number : nil }
    let names = [
      "HUP": SIGHUP, "INT": SIGINT, "QUIT": SIGQUIT, "USR1": SIGUSR1, "USR2": SIGUSR2, "TERM": SIGTERM,
      "KILL": SIGKILL, "WINCH": SIGWINCH,
    ]
    return names[text.hasPrefix("SIG") ? String(text.dropFirst(3)) : text]
  }
}

extension SmallFile {
  /// Bytes; 0 where there is no such file.
  static func size(_ path: String) -> UInt64 {
    var status = stat()
    return stat(path, &status) == 0 ? UInt64(status.st_size) : 0
  }

  /// The last lines of what was written after `offset`, each cut at 200 characters; at most 16 KiB are read.
  static func tail(_ path: String, from offset: UInt64, lines: Int) -> [String] {
    let size = size(path)
    guard size > offset, let file = try? FileDescriptor.open(path, O_RDONLY) else { return [] }
    let start = max(offset, size > 16384 ? size - 16384 : 0)
    var bytes = [UInt8](repeating: 0, count: Int(size - start))
    let count = pread(file.rawValue, &bytes, bytes.count, off_t(start))
    guard count > 0 else { return [] }
    return String(decoding: bytes[0..<count], as: UTF8.self).split(separator: "\n").suffix(lines).map {
      String($0.prefix(200))
    }
  }
}

extension Substring {
  var trimmingBlanks: Substring {
    var text = self
    while let first = text.first, first.isWhitespace { text.removeFirst() }
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return text
  }
}
