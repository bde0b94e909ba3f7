import Foundation
import Lab
import Testing

@testable import netloom

struct ChangeFileTests {
  /// A body that is too large ends its connection before it is read whole, which looks as if the controller had died.
  @Test func aFileThatTheControllerWouldNotTakeIsRefusedBeforeItIsSent() throws {
    let path = NSTemporaryDirectory() + "change-\(UUID().uuidString).yaml"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(repeating: UInt8(ascii: "\n"), count: 4_000_000).write(to: URL(fileURLWithPath: path))
    let text = try ChangeFile(path).text
    #expect(text.utf8.count == 4_000_000)
    // What the controller takes: APIRoutes.changeLimit.
    #expect(try JSONEncoder().encode(["file": path, "text": text]).count < 8 << 20)
    try Data(repeating: UInt8(ascii: "\n"), count: 4_000_001).write(to: URL(fileURLWithPath: path))
    #expect {
      try ChangeFile(path)
    } throws: { error in
      (error as? LabError)?.message.contains("longer than a CHANGE may be: 4 MB") == true
    }
  }
}
