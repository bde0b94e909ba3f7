import Capture
import Foundation
import NetTypes
import Probe
import Testing

/// `netloom-probe capture` into a folder: files by interface, series of files, and what stays of them.
extension NamespaceTests {
  @Suite struct CaptureFilesTests {
    private let lab: NamespaceLab
    private let folder: String

    init() throws {
      lab = try NamespaceLab(["h1:eth1-web:eth1"], hosts: ["h1", "web"])
      folder = NSTemporaryDirectory() + "netloom-files-\(UUID().uuidString)"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    /// Captures while 20 pings pass, each seen four times: request and reply on both interfaces.
    private func capture(_ options: [String]) throws {
      let arguments = [
        "netloom-probe", "capture", "--point", "h1:eth1:2:\(lab.pid("h1"))", "--point", "web:eth1:2:\(lab.pid("web"))",
        "--filter", "icmp", "--files", "x", "--for", "2",
      ]
      // The folder is the program's stdin.
      let directory = open(folder, O_RDONLY | O_DIRECTORY)
      let stdin = dup(0)
      dup2(directory, 0)
      defer {
        dup2(stdin, 0)
        close(stdin)
        close(directory)
      }
      let ended = DispatchSemaphore(value: 0)
      let thread = Thread {
        _ = ProbeProgram.main(arguments + options)
        ended.signal()
      }
      let watch = inotify_init1(0)
      defer { close(watch) }
      try #require(inotify_add_watch(watch, folder, UInt32(IN_CREATE)) >= 0)
      thread.start()
      // The first file is made when all captures are open.
      var made = pollfd(fd: watch, events: Int16(POLLIN), revents: 0)
      try #require(poll(&made, 1, 30_000) == 1, "no file was made")
      try lab.run("h1", "ping -q -c 20 -i 0.01 -s 1000 \(lab.address("web:eth1"))")
      #expect(ended.wait(timeout: .now() + 30) == .success)
    }

    private func files() throws -> [String: PcapngFile] {
      let names = try FileManager.default.contentsOfDirectory(atPath: folder)
      return try Dictionary(
        uniqueKeysWithValues: names.map {
          ($0, try PcapngFile(Array(Data(contentsOf: URL(fileURLWithPath: "\(folder)/\($0)")))))
        })
    }

    /// Another reader of each file.
    private func expectReadable() throws {
      guard FileManager.default.isExecutableFile(atPath: "/usr/bin/capinfos") else { return }
      for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
        #expect(
          try NamespaceLab.shell(
            "capinfos -c \(folder)/\(name) && tshark -r \(folder)/\(name) -Y _ws.malformed 2>&1 | grep -c . || true"
          ).contains("Number of packets"))
      }
    }

    @Test("one file for each interface has that interface alone, and its counters")
    func split() throws {
      defer { try? FileManager.default.removeItem(atPath: folder) }
      try capture(["--split"])
      let found = try files()
      #expect(found.keys.sorted() == ["x-h1.eth1.pcapng", "x-web.eth1.pcapng"])
      for (name, file) in found {
        #expect(file.interfaces.count == 1 && file.records.count == 40, "\(name)")
        #expect(file.interfaces[0].statistics == CaptureStatistics(received: 40, dropped: 0), "\(name)")
        #expect(name.contains(file.interfaces[0].name.replacing(":", with: ".")))
      }
      try expectReadable()
    }

    @Test("a series by size: no file is larger, all packets are there once and in order, and the newest stay")
    func rotated() throws {
      defer { try? FileManager.default.removeItem(atPath: folder) }
      try capture(["--rotate-size", "20000"])
      var found = try files()
      #expect(found.count >= 5 && found.keys.contains("x-00001.pcapng"), "\(found.keys)")
      #expect(found.values.reduce(0) { $0 + $1.records.count } == 80)
      let times = found.sorted { $0.key < $1.key }.flatMap { $0.value.records.map(\.time) }
      #expect(times == times.sorted())
      for name in found.keys {
        let size = try FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")[.size] as? Int ?? 0
        // The counters of the two interfaces come last, once.
        #expect(size <= 20_000 + 2 * 100, "\(name) has \(size) bytes")
      }
      try expectReadable()
      let newest = found.keys.max() ?? ""
      for name in found.keys { try FileManager.default.removeItem(atPath: "\(folder)/\(name)") }
      try capture(["--rotate-size", "20000", "--keep", "2"])
      found = try files()
      #expect(found.count == 2 && found.keys.max() == newest, "\(found.keys)")
    }

    @Test("options that need a folder or a series are refused without one")
    func refusals() {
      let point = ["netloom-probe", "capture", "--point", "a:eth0:1:1"]
      for options in [
        ["--split"], ["--rotate-size", "1000"], ["--keep", "3"], ["--files", "x", "--keep", "3"], ["--files", "a/b"],
        ["--files", "x", "--rotate-size", "0"], ["--files", "x", "--rotate-time", "no"],
      ] { #expect(ProbeProgram.main(point + options) == 2, "\(options)") }
    }
  }
}
