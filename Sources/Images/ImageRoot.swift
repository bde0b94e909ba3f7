internal import EventLoop
internal import Glibc

/// The unpacked root of an image that is built upon. Its links mean what they would to a process in it: `/srv -> /etc` is the
/// image's /etc. Whoever writes here asks for the place first, as the kernel would follow them on this machine.
struct ImageRoot {
  let path: String
  /// As many as the kernel follows.
  private static let mostLinks = 40

  /// Where an absolute path of the image stands on this machine; the folders above it, and with `isFolder` it too, are made.
  /// Without `isFolder` its last part is not followed.
  func place(of destination: String, isFolder: Bool) throws(ImageError) -> String {
    var left = destination.split(separator: "/").map(String.init)
    var place: [String] = []
    var links = 0
    while !left.isEmpty {
      let part = left.removeFirst()
      if part == "." { continue }
      if part == ".." {
        _ = place.popLast()  // above the root is the root
        continue
      }
      let here = ([path] + place + [part]).joined(separator: "/")
      if left.isEmpty, !isFolder { return here }
      if let target = Self.link(here) {
        links += 1
        guard links <= Self.mostLinks else {
          throw ImageError(.usage, "`\(destination)`: too many links in the base image")
        }
        if target.hasPrefix("/") { place = [] }
        left = target.split(separator: "/").map(String.init) + left
        continue
      }
      try onMachine { () throws(SystemError) in try Folder.make(here) }
      place.append(part)
    }
    return ([path] + place).joined(separator: "/")
  }

  /// nil: it is no link.
  private static func link(_ path: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = readlink(path, &buffer, buffer.count)
    return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
  }
}
