import ControlProtocol
import Testing

@Suite struct FramingTests {
  private func hello(_ name: String) -> NLToController {
    var message = NLToController()
    message.request = 7
    message.hello.name = name
    message.hello.pid = 42
    return message
  }

  @Test("messages survive a stream cut at every byte")
  func everyCut() throws {
    let messages = [hello("a"), hello(String(repeating: "long", count: 5_000)), NLToController(), hello("z")]
    let stream = try messages.flatMap { try frame($0) }
    for cut in [1, 2, 3, 127, 128, 20_000] {
      var reader = FrameReader()
      var received: [NLToController] = []
      var rest = stream[...]
      while !rest.isEmpty {
        reader.append(rest.prefix(cut))
        rest = rest.dropFirst(cut)
        while let message = try reader.next(NLToController.self) { received.append(message) }
      }
      #expect(received == messages, "cut \(cut)")
    }
  }

  @Test("a length beyond the limit and bytes that are no message are errors")
  func broken() {
    var reader = FrameReader()
    reader.append([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01])
    #expect(throws: FramingError.tooLong) { try reader.next(NLToController.self) }
    var other = FrameReader()
    other.append([3, 0x12, 0xFF, 0xFF])
    #expect(throws: FramingError.self) { try other.next(NLToController.self) }
  }
}
