internal import EventLoop
internal import Glibc

/// What a directory holds, in no order; nothing when it cannot be read.
func entries(of directory: String) -> [String] {
  guard let stream = opendir(directory) else { return [] }
  defer { closedir(stream) }
  var names: [String] = []
  while let entry = readdir(stream) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name != ".", name != ".." { names.append(name) }
  }
  return names
}

/// Takes a directory away with everything in it, without following links. What an image made unwritable is made
/// writable first.
func removeTree(_ path: String) {
  var status = stat()
  guard lstat(path, &status) == 0 else { return }
  if status.st_mode & S_IFMT == S_IFDIR {
    if status.st_mode & 0o700 != 0o700 { chmod(path, 0o700) }
    for name in entries(of: path) { removeTree(path + "/" + name) }
    rmdir(path)
  } else {
    unlink(path)
  }
}

/// Makes the directory and those above it.
func makeDirectories(_ path: String, mode: UInt32 = 0o755) throws(SystemError) {
  if mkdir(path, mode) == 0 || errno == EEXIST { return }
  let error = SystemError.last("mkdir", path)
  guard error.code == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else { throw error }
  try makeDirectories(String(path[..<slash]), mode: mode)
  try systemCall("mkdir", path) { mkdir(path, mode) }
}

func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// A system call's failure as one of this machine's.
func onMachine<Result>(_ body: () throws(SystemError) -> Result) throws(ImageError) -> Result {
  do throws(SystemError) {
    return try body()
  } catch {
    throw ImageError(.environment, "the image store: \(error)")
  }
}
