import CLinux
import NetTypes
import Netlink
import Testing

@testable import Nftables

/// The tests of this suite make namespaces of their own and look at them again with nft.
enum Kernel {
  /// nil: it may; otherwise why these tests are skipped.
  static let refusal: String? = {
    do {
      _ = try NftablesSocket(in: Namespace.create()).generation()
      return nil
    } catch {
      print("nftables tests that need a network namespace are skipped: \(error)")
      return "\(error)"
    }
  }()
  static var isAllowed: Bool { refusal == nil }

  /// What `command` prints, errors included, when it runs inside the namespace.
  static func output(of command: String, in namespace: Namespace) throws -> String {
    try namespace.run { () throws(KernelError) in
      guard let pipe = popen("{ \(command)\n} 2>&1", "r") else { throw KernelError(call: "popen", subject: command) }
      defer { pclose(pipe) }
      var bytes: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 65536)
      while case let count = fread(&chunk, 1, chunk.count, pipe), count > 0 { bytes += chunk[..<count] }
      return String(decoding: bytes, as: UTF8.self)
    }
  }
}

func name(_ text: String) throws -> InterfaceName { try #require(InterfaceName(text)) }
func ip(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }
func net(_ text: String) throws -> IPPrefix { try #require(IPPrefix(text)) }

/// A namespace, a socket in it, and nft to look at it.
struct Bench {
  let namespace: Namespace
  let socket: NftablesSocket

  init() throws {
    namespace = try Namespace.create()
    socket = try NftablesSocket(in: namespace)
  }

  /// `nft -s list ruleset`: without counts.
  func listing() throws -> String { try Kernel.output(of: "nft -s list ruleset", in: namespace) }

  /// The lines of a chain's rules as nft writes them.
  func rules(of chain: String) throws -> [String] {
    try Kernel.output(of: "nft -s list chain \(chain)", in: namespace).split(separator: "\n")
      .filter { $0.hasPrefix("\t\t") && !$0.hasPrefix("\t\ttype ") }.map { String($0.dropFirst(2)) }
  }

  /// Gives nft a file to load.
  func load(_ text: String) throws {
    let output = try Kernel.output(of: "nft -f - <<'END'\n\(text)\nEND", in: namespace)
    try #require(output.isEmpty, "\(output)")
  }

  func read(_ tables: TableID...) throws -> StandingRuleset { try socket.read(tables) }

  /// Makes `desired` what stands.
  @discardableResult
  func apply(_ desired: Ruleset) throws -> Int {
    let standing = try socket.read(desired.tables.map(\.id))
    var transaction = Transaction(from: standing, to: desired)
    try socket.commit(&transaction)
    return transaction.count
  }
}

/// Netlink has a rule too, of policy routing.
typealias Rule = Nftables.Rule
