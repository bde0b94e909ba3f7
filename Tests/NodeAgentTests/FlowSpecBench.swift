import BGPWire
import CLinux
import Glibc
import NetTypes
import Netlink
import Nftables
import Testing

@testable import NodeAgent

/// A namespace whose loopback interface is up, and a chain there for flow rules.
struct FlowSpecBench {
  static let isAllowed: Bool = (try? FlowSpecBench()) != nil

  let namespace: Namespace
  let socket: NftablesSocket
  private static let table = TableID(.inet, "netloom")

  init() throws {
    namespace = try Namespace.create()
    socket = try NftablesSocket(in: namespace)
    _ = try output(of: "ip link set lo up && ip addr add 2001:db8::1/128 dev lo && ip addr add 2001:db8::81/128 dev lo")
    // What arrives is not answered: answers would pass the chain as well.
    _ = try output(
      of:
        "nft 'add table inet quiet; add chain inet quiet input { type filter hook input priority -500; policy drop; }'")
  }

  func output(of command: String) throws -> String {
    try namespace.run { () throws(KernelError) in
      guard let pipe = popen("{ \(command)\n} 2>&1", "r") else { throw KernelError(call: "popen", subject: command) }
      defer { pclose(pipe) }
      var bytes: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 65536)
      while case let count = fread(&chunk, 1, chunk.count, pipe), count > 0 { bytes += chunk[..<count] }
      return String(decoding: bytes, as: UTF8.self)
    }
  }

  func install(_ compiled: FlowSpecRules) throws {
    let chain = Chain(
      FlowSpecRules.chain, BaseChain(.filter, .prerouting, FlowSpecRules.priority), rules: compiled.rules)
    let wanted = Ruleset([Table(Self.table, chains: [chain] + compiled.chains)])
    var transaction = Transaction(from: try socket.read([Self.table]), to: wanted)
    try socket.commit(&transaction)
  }

  /// The rules that stand, with their counts.
  func read() throws -> [Nftables.Rule] {
    try socket.read([Self.table]).table(Self.table)?.chain(FlowSpecRules.chain)?.rules.map(\.rule) ?? []
  }

  /// As nft writes them.
  func rules() throws -> [String] {
    try output(of: "nft -s list chain inet netloom flowspec").split(separator: "\n")
      .filter { $0.hasPrefix("\t\t") && !$0.hasPrefix("\t\ttype ") }.map { String($0.dropFirst(2)) }
  }

  static func withoutComment(_ line: String) -> String {
    guard let end = line.firstRange(of: " comment ") else { return line }
    return String(line[..<end.lowerBound])
  }

  /// Whole packets, from their IP header on, out by the loopback interface.
  func send(_ packets: [FlowPacket]) throws {
    try namespace.run { () throws(KernelError) in
      let four = socket4()
      let six = Glibc.socket(AF_INET6, Int32(SOCK_RAW.rawValue), Int32(IPPROTO_RAW))
      defer {
        close(four)
        close(six)
      }
      for packet in packets {
        let sent = packet.family == .ipv4 ? packet.send(four) : packet.send(six)
        if !sent { throw KernelError(call: "sendto", subject: "\(packet)") }
      }
    }
  }

  private func socket4() -> Int32 { Glibc.socket(AF_INET, Int32(SOCK_RAW.rawValue), Int32(IPPROTO_RAW)) }
}

/// A packet as far as flow rules ask, and whether one does: the RFCs in a few lines, for comparison with the kernel.
struct FlowPacket {
  var family: AddressFamily = .ipv4
  /// Last octets of the addresses.
  var source: UInt8 = 1
  var destination: UInt8 = 1
  var transport: UInt8 = 17
  /// First four octets of the transport header: ports, or ICMP's type and code.
  var head: [UInt8] = [0, 0, 0, 0]
  var flags: UInt16 = 0
  var dscp: UInt8 = 0
  var payload = 0
  var offset: UInt16 = 0
  var more = false
  var dont = false
  var label: UInt32 = 0

  private var isFragment: Bool { offset > 0 || more }
  private var transportHeader: [UInt8] {
    var header = head + [UInt8](repeating: 0, count: 16)
    header[12] = 0x50 | UInt8(flags >> 8 & 0x0F)
    header[13] = UInt8(flags & 0xFF)
    return header
  }

  private var bytes: [UInt8] {
    let body = transportHeader + [UInt8](repeating: 7, count: payload)
    return family == .ipv4 ? ipv4Header(body.count) + body : ipv6Header(body.count) + body
  }

  private static func octets(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }

  private func ipv4Header(_ count: Int) -> [UInt8] {
    var word = offset
    if more { word |= 0x2000 }
    if dont { word |= 0x4000 }
    var header: [UInt8] = [0x45, dscp << 2]
    header += Self.octets(UInt16(20 + count))
    header += [0, 9]
    header += Self.octets(word)
    header += [64, transport, 0, 0, 127, 0, 0, source, 127, 0, 0, destination]
    return header
  }

  private func ipv6Header(_ count: Int) -> [UInt8] {
    var fragment: [UInt8] = []
    if isFragment {
      fragment = [transport, 0]
      fragment += Self.octets(offset << 3 | (more ? 1 : 0))
      fragment += [0, 0, 0, 9]
    }
    let first = UInt32(6) << 28 | UInt32(dscp) << 22 | label
    let network: [UInt8] = [0x20, 1, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11)
    var header = withUnsafeBytes(of: first.bigEndian) { Array($0) }
    header += Self.octets(UInt16(fragment.count + count))
    header += [isFragment ? 44 : transport, 64]
    header += network
    header.append(source)
    header += network
    header.append(destination)
    return header + fragment
  }

  func send(_ socket: Int32) -> Bool {
    let bytes = bytes
    if family == .ipv4 {
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_addr.s_addr = UInt32(0x7F00_0000 | UInt32(destination)).bigEndian
      return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          sendto(socket, bytes, bytes.count, 0, .init(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_in>.size))
            == bytes.count
        }
      }
    }
    var address = sockaddr_in6()
    address.sin6_family = sa_family_t(AF_INET6)
    withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: bytes[24..<40]) }
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(socket, bytes, bytes.count, 0, .init(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_in6>.size))
          == bytes.count
      }
    }
  }

  // MARK: What the RFCs say

  func isMeant(by rule: FlowRule) -> Bool {
    rule.family == family && rule.components.allSatisfy { isMeant(by: $0) }
  }

  private func isMeant(by component: FlowComponent) -> Bool {
    switch component.value {
    case .prefix(let prefix):
      return isMeant(by: prefix, last: component.type == .source ? source : destination)
    case .operations(let operations):
      return fields(component.type).contains { field in holds(operations, component.type.form, field) }
    }
  }

  private func isMeant(by prefix: FlowPrefix, last: UInt8) -> Bool {
    var whole: [UInt8] = [127, 0, 0]
    if family == .ipv6 { whole = [0x20, 1, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) }
    whole.append(last)
    let wanted = prefix.prefix.address.bytes
    var bit = Int(prefix.offset)
    while bit < Int(prefix.prefix.length) {
      let mask: UInt8 = 0x80 >> UInt8(bit % 8)
      if whole[bit / 8] & mask != wanted[bit / 8] & mask { return false }
      bit += 1
    }
    return true
  }

  /// Left to right, an AND binds what is around it (RFC 8955 section 4.2.1.1).
  private func holds(_ operations: [FlowOperation], _ form: FlowComponentType.Form, _ field: UInt64) -> Bool {
    var any = false
    var all = true
    for (place, operation) in operations.enumerated() {
      let bits = operation.comparison.rawValue
      let one: Bool
      if form == .numeric {
        one =
          (bits & 4 != 0 && field < operation.value) || (bits & 2 != 0 && field > operation.value)
          || (bits & 1 != 0 && field == operation.value)
      } else {
        let plain = bits & 1 != 0 ? field & operation.value == operation.value : field & operation.value != 0
        one = plain != (bits & 2 != 0)
      }
      if place > 0, !operation.isAnd {
        any = any || all
        all = true
      }
      all = all && one
    }
    return any || all
  }

  private func fields(_ type: FlowComponentType) -> [UInt64] {
    // Only the first piece of a packet has a transport header.
    let hasHeader = offset == 0
    let ports = hasHeader && (transport == 6 || transport == 17)
    let source = UInt64(head[0]) << 8 | UInt64(head[1])
    let destination = UInt64(head[2]) << 8 | UInt64(head[3])
    let isICMP = hasHeader && transport == (family == .ipv4 ? 1 : 58)
    switch type {
    case .protocol: return [UInt64(transport)]
    case .port: return ports ? [source, destination] : []
    case .destinationPort: return ports ? [destination] : []
    case .sourcePort: return ports ? [source] : []
    case .icmpType: return isICMP ? [UInt64(head[0])] : []
    case .icmpCode: return isICMP ? [UInt64(head[1])] : []
    case .tcpFlags: return hasHeader && transport == 6 ? [UInt64(flags)] : []
    case .length: return [UInt64(bytes.count)]
    case .dscp: return [UInt64(dscp)]
    case .flowLabel: return [UInt64(label)]
    case .fragment:
      let rest: UInt64 = offset > 0 ? (more ? 2 : 10) : (more ? 4 : 0)
      return [(dont && family == .ipv4 ? 1 : 0) | rest]
    case .destination, .source: return []
    }
  }
}
