internal import NetTypes
internal import Topology

/// What a node becomes.
enum ImportedKind: String {
  case host, router, `switch`, frr, bird, gobgp, openbgpd

  var daemon: DaemonProgram? { DaemonProgram(rawValue: rawValue) }
}

/// An address and where it was written.
struct PlacedAddress {
  var value: InterfaceAddress
  var place: Place
  /// A command set it, and has to again where the topology cannot; otherwise a daemon does by itself.
  var fromCommand: Bool
}

/// A route that a command set.
struct RouteWish {
  var to: IPPrefix
  var via: IPAddress
  var place: Place
  /// As it was written, for where the topology cannot have it.
  var command: String
}

/// A command that stays one.
struct KeptCommand {
  var text: String
  var place: Place
}

/// A node on its way; shared by reference, because stages fill it in.
final class ImportedNode {
  let name: String
  /// As containerlab has it.
  let original: String
  let place: Place
  let definition: Definition
  var kind: ImportedKind
  /// Absolute, and where it is named.
  var config: (path: String, place: Place)?
  var asn: ASNumber?
  var loopbacks: [PlacedAddress] = []
  /// By interface, of those that links make.
  var addresses: [String: [PlacedAddress]] = [:]
  var routes: [RouteWish] = []
  /// Interfaces that only commands make, put first.
  var dummies: [String] = []
  /// Addresses that links cannot write, before `exec`.
  private(set) var restored: [KeptCommand] = []
  var exec: [KeptCommand] = []
  var commands: [String] = []
  var environment: [(key: String, value: String)] = []
  var labels: [(key: String, value: String)] = []
  var sysctls: [(key: String, value: String)] = []
  var published: [String] = []
  /// Its ends of links, in order of the file.
  var interfaces: [String] = []

  init(name: String, original: String, place: Place, definition: Definition, kind: ImportedKind) {
    self.name = name
    self.original = original
    self.place = place
    self.definition = definition
    self.kind = kind
  }

  func restore(_ address: PlacedAddress, on interface: String) {
    restored.append(KeptCommand(text: "ip address add \(address.value) dev \(interface)", place: address.place))
  }

  func setSysctl(_ key: String, _ value: String) {
    sysctls.removeAll { $0.key == key }
    sysctls.append((key, value))
  }
}
