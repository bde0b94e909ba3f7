import Foundation

/// A new file in a directory of its own below the temporary directory; its path.
func temporaryFile(_ bytes: [UInt8], name: String = "lab.yaml", directory: String? = nil) throws -> String {
  let base = try directory ?? temporaryDirectory()
  let path = base + "/" + name
  try Data(bytes).write(to: URL(fileURLWithPath: path))
  return path
}

func temporaryDirectory() throws -> String {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent("netloom-topology-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  return url.path
}
