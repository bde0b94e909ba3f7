internal import FoundationEssentials
public import NorthboundAPI

extension NorthboundClient {
  /// Hands over requests of the mesh as they end, until `take` says false or the task is cancelled.
  public func tapMesh(_ query: MeshTapQuery, _ take: (MeshTapItem) throws -> Bool) async throws {
    let pairs = [
      ("from", query.from), ("to", query.to), ("path", query.path), ("method", query.method), ("status", query.status),
    ]
    let text = pairs.compactMap { key, value in value.map { "\(key)=\(escaped($0))" } }.joined(separator: "&")
    let target = text.isEmpty ? "/v1/mesh/tap" : "/v1/mesh/tap?" + text
    var rest: [UInt8] = []
    var kind = ""
    let exchange = HTTPExchange(socket: socket, method: .GET, target: target)
    try await refusing(target, exchange) { bytes in
      rest += bytes
      while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
        let line = String(decoding: rest[..<end], as: UTF8.self)
        rest.removeFirst(end + 1)
        if line.hasPrefix("event: ") { kind = String(line.dropFirst(7)) }
        if line.hasPrefix(":"), try !take(.quiet) { return false }
        guard line.hasPrefix("data: ") else { continue }
        if let item = try Self.item(kind, Data(line.dropFirst(6).utf8)), try !take(item) { return false }
      }
      return true
    }
  }

  private func refusing(_ target: String, _ exchange: HTTPExchange, _ take: ([UInt8]) throws -> Bool) async throws {
    do {
      try await exchange.follow(take)
    } catch let refused as HTTPExchange.Refused {
      if let error = try? JSONDecoder().decode(APIError.self, from: Data(refused.body)) { throw error }
      throw ClientError.malformed(path: target, reason: "HTTP status \(refused.status)")
    }
  }

  /// Nil for a kind of event that is not known.
  private static func item(_ kind: String, _ data: Data) throws -> MeshTapItem? {
    do {
      let decoder = JSONDecoder()
      switch kind {
      case "request": return .request(try decoder.decode(MeshTapEvent.self, from: data))
      case "dropped": return .dropped(try decoder.decode(MeshTapLoss.self, from: data))
      case "absent": return .absent(try decoder.decode(MeshTapAbsence.self, from: data))
      default: return nil
      }
    } catch {
      throw ClientError.malformed(path: "/v1/mesh/tap", reason: "\(error)")
    }
  }
}
