import NetTypes

/// What makes a host or a pod a container, and a registry's own key.
enum ContainerKeys {
  static let keys: [Key] = [
    Key(
      "image", .scalar(.image), "what it runs: an image of a registry of the lab, or of the machine's image store"),
    Key("limits", .record(limits), "what the container may use, where the machine has the cgroups for it"),
    Key(
      "binds", .list(.scalar(.bind), example: "[\"site:/srv/www:ro\"]"),
      "files and directories of the machine in the container; relative ones start at the topology file"),
    Key("ready", .record(ready), "when the container counts as ready; a pod's: when its service's target answers"),
    Key(
      "storage", .scalar(.text("a path")),
      "where a registry keeps its images, relative to the topology file; unless written, they end with the lab"),
  ]

  private static let limits = Record(
    "`limits`", atLeastOne: ["memory", "cpus"],
    keys: [
      Key("memory", .scalar(.memory), "what is above it is refused by the kernel, and the container killed"),
      Key("cpus", .scalar(.cpus), "processors' worth of time"),
    ])

  private static let ready = Record(
    "`ready`", atLeastOne: ["http", "port"],
    keys: [
      Key("http", .scalar(.urlPath), "a GET of it must be answered with 200 to 399"),
      Key("port", .scalar(.integer(1...65535)), "where it must answer; the target of the pod's service unless written"),
    ])
}

extension ScalarForm {
  static let image = ScalarForm(
    "an image as [REGISTRY:PORT/]NAME[:TAG][@sha256:…]", schema: .text("^[A-Za-z0-9._:/@-]+$", maxLength: 512)
  ) { text in
    do throws(ImageReference.Malformed) {
      _ = try ImageReference(reading: text)
      return nil
    } catch {
      return .because("expected \(error.expected)")
    }
  }

  static let memory = ScalarForm(
    "a size such as 64mb or 1gb, at least 4mb", schema: .text("^[0-9]+(\\.[0-9]+)?(kb|mb|gb)$")
  ) { text in
    guard let bytes = parseMemory(text) else { return .plain }
    return bytes < 4 << 20 ? .because("no container starts in so little") : nil
  }

  static let cpus = ScalarForm(
    "processors from 0.01 to 1024, such as 0.5", schema: .anyOf([.integer(1...1024), .text("^[0-9]+(\\.[0-9]+)?$")])
  ) { parseCPUs($0) == nil ? .plain : nil }

  static let bind = ScalarForm(
    "SOURCE:/DESTINATION or SOURCE:/DESTINATION:ro", schema: .text("^[^:]+:/[^:]*(:(ro|rw))?$")
  ) { parseBind($0) == nil ? .plain : nil }

  static let urlPath = ScalarForm("a path such as /health", schema: .text("^/[^\\s]*$", maxLength: 1024)) { text in
    text.hasPrefix("/") && text.utf8.count <= 1024 && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } ? nil : .plain
  }
}

/// Bytes; units are powers of 1024, as for `burst`.
func parseMemory(_ text: String) -> UInt64? {
  let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
  guard let factor = ["kb": 1024.0, "mb": 1_048_576.0, "gb": 1_073_741_824.0][text[number.endIndex...]],
    let value = Double(number), value > 0, value * factor <= 1e15
  else { return nil }
  return UInt64(value * factor)
}

/// Thousandths of a processor.
func parseCPUs(_ text: String) -> UInt32? {
  guard text.utf8.allSatisfy({ (48...57).contains($0) || $0 == 46 }), let value = Double(text), value >= 0.01,
    value <= 1024
  else { return nil }
  return UInt32((value * 1000).rounded())
}

func parseBind(_ text: String) -> (source: String, destination: String, readOnly: Bool)? {
  let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
  guard (2...3).contains(parts.count), !parts[0].isEmpty, parts[1].hasPrefix("/"), parts[1].count > 1,
    !parts[1].split(separator: "/").contains("..")
  else { return nil }
  switch parts.count > 2 ? parts[2] : "rw" {
  case "rw": return (parts[0], parts[1], false)
  case "ro": return (parts[0], parts[1], true)
  default: return nil
  }
}

/// A line as a shell divides it into words: blanks separate, quotes and backslashes keep. nil: a quote is not closed.
func shellWords(_ line: String) -> [String]? {
  var words: [String] = []
  var word: String?
  var quote: Character?
  var isEscaped = false
  for character in line {
    if isEscaped {
      isEscaped = false
      if quote == "\"", character != "\"", character != "\\" { word = (word ?? "") + "\\" }
      word = (word ?? "") + String(character)
    } else if character == "\\", quote != "'" {
      isEscaped = true
    } else if let open = quote {
      if character == open { quote = nil } else { word = (word ?? "") + String(character) }
    } else if character == "'" || character == "\"" {
      quote = character
      word = word ?? ""
    } else if character.isWhitespace {
      if let word { words.append(word) }
      word = nil
    } else {
      word = (word ?? "") + String(character)
    }
  }
  guard quote == nil, !isEscaped else { return nil }
  if let word { words.append(word) }
  return words
}
