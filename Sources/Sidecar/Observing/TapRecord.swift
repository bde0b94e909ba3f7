// One request or connection as a tap shows it: a line of JSON when it has ended. Text of clients is cut: a line is bounded.
import HTTP1

struct TapRecord {
  private var members: [(String, String)] = []

  private mutating func add(_ name: String, _ text: String?) {
    if let text, !text.isEmpty { members.append((name, AccessLog.quote(String(text.prefix(1024))))) }
  }

  private mutating func add(_ name: String, _ number: UInt64) { members.append((name, "\(number)")) }

  private var line: String { "{" + members.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}\n" }

  private init(
    _ service: ServiceRuntime, _ endpoint: EndpointRuntime?, client: SocketAddress?, nanoseconds: UInt64,
    toServer: UInt64, toClient: UInt64
  ) {
    add("at", WallClock.nanoseconds)
    add("direction", service.direction.rawValue)
    add("service", service.name)
    add("protocol", service.applicationProtocol.rawValue)
    add("client", client?.description)
    add("endpoint", endpoint?.configuration.address.description)
    add("version", endpoint?.configuration.version)
    add("microseconds", nanoseconds / 1000)
    add("bytesToServer", toServer)
    add("bytesToClient", toClient)
  }

  static func line(_ exchange: Exchange, nanoseconds: UInt64) -> String {
    var record = TapRecord(
      exchange.service, exchange.endpoint, client: exchange.downstream?.peerAddress, nanoseconds: nanoseconds,
      toServer: exchange.bytesToServer, toClient: exchange.bytesToClient)
    record.add("source", exchange.downstream?.peerIdentity)
    record.add("server", exchange.serverIdentity)
    record.add("method", exchange.head.methodName)
    record.add("authority", exchange.head.authority)
    record.add("path", exchange.head.target)
    record.add("status", UInt64(exchange.status))
    record.add("attempts", UInt64(exchange.attempts))
    record.add("refused", exchange.refusedBy)
    record.add("trace", exchange.trace?.traceID)
    return record.line
  }

  static func line(
    _ service: ServiceRuntime, _ endpoint: EndpointRuntime?, client: SocketAddress?, source: String?, server: String?,
    nanoseconds: UInt64, toServer: UInt64, toClient: UInt64, refused: String?
  ) -> String {
    var record = TapRecord(
      service, endpoint, client: client, nanoseconds: nanoseconds, toServer: toServer, toClient: toClient)
    record.add("source", source)
    record.add("server", server)
    record.add("refused", refused)
    return record.line
  }
}
