internal import ControlProtocol
internal import Foundation
internal import NetTypes

/// Which node an address belongs to. The same private subnet may stand behind different routers, so the far ends of
/// the asking node's own links come first.
struct AddressBook: Sendable {
  private var owners: [IPAddress: String] = [:]
  private var nearby: [String: [IPAddress: String]] = [:]
  private var across: [String: [String: String]] = [:]

  init(_ plan: NLMachinePlan) {
    for node in plan.nodes {
      for loopback in node.loopbacks { note(loopback, node.name) }
    }
    for link in plan.links {
      for (near, far) in [(link.a, link.b), (link.b, link.a)] {
        across[near.node, default: [:]][near.interface] = far.node
        for address in near.addresses {
          note(address, near.node)
          guard let address = IPAddress(bytes: address.address) else { continue }
          nearby[far.node, default: [:]][address] = near.node
        }
      }
    }
  }

  private mutating func note(_ address: NLPrefix, _ node: String) {
    guard let address = IPAddress(bytes: address.address), owners[address] == nil else { return }
    owners[address] = node
  }

  /// The owner of `address` as `node` would reach it.
  func owner(of address: IPAddress, from node: String) -> String? { nearby[node]?[address] ?? owners[address] }

  /// The node at the far end of a link.
  func neighbor(of node: String, across interface: String) -> String? { across[node]?[interface] }
}

/// Text of a raw address, nil when it is empty or no address.
func addressText(_ bytes: some Collection<UInt8>) -> String? { IPAddress(bytes: bytes)?.description }

extension NLPrefix {
  init(_ prefix: IPPrefix) {
    self.init()
    address = .init(prefix.address.bytes)
    length = UInt32(prefix.length)
  }

  /// "10.0.0.0/8"; a prefix that is none shows as "?".
  var text: String { addressText(address).map { "\($0)/\(length)" } ?? "?" }
}
