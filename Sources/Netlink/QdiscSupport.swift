internal import Glibc

/// Which qdiscs this kernel has. There is no list to read: each is tried on the loopback interface of a namespace that
/// nobody else sees and that goes afterwards. Done before a lab is touched, so that a missing one is refused by name.
public struct QdiscSupport: Hashable, Sendable {
  /// Kinds that were found, among those that were asked for.
  public let present: Set<String>
  public let missing: Set<String>

  public init(present: Set<String>, missing: Set<String>) {
    self.present = present
    self.missing = missing
  }

  /// Tries each kind (`htb`, `netem`). Makes a namespace, so it needs the right to.
  public static func probe(_ kinds: Set<String>) throws(KernelError) -> QdiscSupport {
    let socket = try NetlinkSocket(in: try Namespace.create())
    var missing: Set<String> = []
    for kind in kinds where try !isPresent(kind, socket) { missing.insert(kind) }
    return QdiscSupport(present: kinds.subtracting(missing), missing: missing)
  }

  /// Asks for the qdisc without options. The kernel looks for the kind first, loads its module where there is one, and
  /// answers ENOENT ("Specified qdisc kind is unknown", sch_api.c) when there is none; any other complaint (missing
  /// options, a wrong place) comes from code that is there.
  private static func isPresent(_ kind: String, _ socket: NetlinkSocket) throws(KernelError) -> Bool {
    let belongsToIngress = kind == "ingress" || kind == "clsact"
    let parent: TrafficHandle = belongsToIngress ? .ingress : .root
    do throws(KernelError) {
      try socket.commit { $0.setQdisc(Qdisc(on: .loopback, .other(kind: kind), parent: parent), .add) }
    } catch {
      if error.isDenied { throw error }
      return error.number != ENOENT
    }
    try socket.commit { $0.deleteQdisc(on: .loopback, parent: parent) }
    return true
  }
}
