import CLinux
import EventLoop
import Foundation
import Glibc
import Testing

@testable import Machine

@Suite struct ContainerPartTests {
  @Test func `controllers of both versions of control groups are found where they are mounted`() {
    let mounts = """
      30 20 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
      31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
      32 30 0:28 / /sys/fs/cgroup/memory rw,relatime shared:4 - cgroup cgroup rw,memory
      33 30 0:29 / /nowhere/unified rw - cgroup2 cgroup2 rw
      """
    let hierarchies = Hierarchies(mounts: mounts)
    #expect(hierarchies.root(of: "cpu")?.path == "/sys/fs/cgroup/cpu,cpuacct")
    #expect(hierarchies.root(of: "memory")?.path == "/sys/fs/cgroup/memory")
    #expect(hierarchies.root(of: "memory")?.isVersion2 == false)
    #expect(hierarchies.root(of: "pids") == nil)
  }

  @Test func `a limit that the machine cannot set is a warning with its reason`() {
    let limits = ControlGroup.Limits(memory: 64 << 20, milliCPUs: 500)
    let group = ControlGroup(lab: "l", node: "n", limits, hierarchies: Hierarchies(mounts: ""))
    #expect(group.directories.isEmpty)
    #expect(
      group.warnings.map { String($0.prefix { $0 != ":" }) } == [
        "memory is not limited here", "cpu is not limited here",
      ])
  }

  @Test func `only requests that come in hold a pod back`() {
    let metrics = """
      # TYPE netloom_active gauge
      netloom_active{direction="inbound",service="web",cluster="web"} 2
      netloom_active{direction="inbound",service="other",cluster="other"} 1
      netloom_active{direction="outbound",service="db",cluster="db"} 7
      """
    #expect(DrainWait.active(metrics) == 3)
    let stats =
      "http.admin.downstream_rq_active: 1\nhttp.web.downstream_rq_active: 4\ncluster.x.upstream_rq_active: 9\n"
    #expect(DrainWait.activeInEnvoy(stats) == 4)
  }

  /// What a probe of a port says whose program answers so, and keeps the connection open until it is closed at the other end.
  private func asked(_ answer: String) throws -> String {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var (address, length) = (sockaddr_in(), socklen_t(MemoryLayout<sockaddr_in>.size))
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let isBound = withUnsafeMutableBytes(of: &address) { bytes in
      let pointer = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self)
      return bind(listener, __CONST_SOCKADDR_ARG(__sockaddr__: pointer), length) == 0 && listen(listener, 1) == 0
        && getsockname(listener, __SOCKADDR_ARG(__sockaddr__: pointer), &length) == 0
    }
    try #require(isBound)
    defer { close(listener) }
    Thread {
      let client = accept(listener, __SOCKADDR_ARG(__sockaddr__: nil), nil)
      var bytes = [UInt8](repeating: 0, count: 4096)
      _ = recv(client, &bytes, bytes.count, 0)
      _ = send(client, answer, answer.utf8.count, Int32(MSG_NOSIGNAL))
      if answer.isEmpty { shutdown(client, Int32(SHUT_RDWR)) }
      while recv(client, &bytes, bytes.count, 0) > 0 {}
      close(client)
    }.start()
    let loop = try EventLoop()
    let network = try FileDescriptor.open("/proc/self/ns/net", O_RDONLY)
    var said = "nothing"
    let request = try LoopbackRequest(
      loop, network: network.rawValue, port: UInt16(bigEndian: address.sin_port), isIPv6: false, path: "/healthz"
    ) {
      said = "\($0)"
      loop.stop()
    }
    try loop.run()
    withExtendedLifetime(request) {}
    return said
  }

  @Test(
    .enabled(if: getuid() == 0, "enters a namespace"),
    arguments: [
      ("HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", "answered(status: 204, body: \"\")"),
      ("HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nbody", "answered(status: 500, body: \"body\")"),
      ("SSH-2.0-x\r\n", "does not speak HTTP"), ("", "without an answer"),
    ])
  func `an answer is whole by its framing, whether or not its connection ends`(_ answer: String, _ said: String) throws
  {
    #expect(try asked(answer).contains(said))
  }

  @Test func `a program that handles a signal is told from one that does not`() throws {
    let script = "trap 'exit 0' TERM; echo set; while :; do sleep 0.05; done"
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", script]
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    defer { kill(process.processIdentifier, SIGKILL) }
    _ = output.fileHandleForReading.readData(ofLength: 4)
    #expect(Container.handles(process.processIdentifier, SIGTERM))
    #expect(!Container.handles(process.processIdentifier, SIGUSR2))
  }

  @Test(arguments: [
    ("SIGQUIT", SIGQUIT), ("INT", SIGINT), ("15", SIGTERM), ("", nil), ("SIGNOTHING", nil), ("99", nil),
  ])
  func `an image may name the signal that ends it`(_ text: String, _ signal: Int32?) throws {
    let json = """
      {"process": {"user": {"uid": 1, "gid": 2}, "args": ["a"], "cwd": "/"},
       "annotations": {"org.opencontainers.image.stopSignal": "\(text)"}}
      """
    let runtime = try JSONDecoder().decode(ContainerBundle.ImageRuntime.self, from: Data(json.utf8))
    #expect(runtime.stopSignal == signal)
  }

  @Test func `the last lines of a log begin where this run began`() throws {
    let path = "/tmp/nlm-tail-\(getpid())"
    defer { unlink(path) }
    try SmallFile.write(path, "before\n")
    let start = SmallFile.size(path)
    #expect(SmallFile.tail(path, from: start, lines: 3).isEmpty)
    try SmallFile.write(path, "before\none\ntwo\nthree\nfour\n")
    #expect(SmallFile.tail(path, from: start, lines: 3) == ["two", "three", "four"])
    #expect(SmallFile.tail(path, from: start, lines: 9) == ["one", "two", "three", "four"])
  }
}
