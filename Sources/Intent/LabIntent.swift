// What each process of a lab is to do, from the resolved topology and from what is observed to be down.
//
// The CLI lowers a file with it (`netloom up`, `netloom speaker`) and the controller keeps nodes at it, so both read a
// file by the same code. Everything here is a pure function of its arguments: no clock, no file, no socket. Validation
// belongs to Topology; nothing here can fail.
//
//   ResolvedLab ─┬─► machinePlan(of:in:)      what netloom-machine builds          (MachinePlan.swift)
//                ├─► speakerConfig(of:)       one router's BGP                     (SpeakerLowering.swift)
//                ├─► routeSets(during:)       static, intra-AS, unreachable routes (RouteLowering.swift)
//                └─► expectedSessions(during:) what must be Established            (Sessions.swift)
//   ResolvedSpeaker ─► speakerConfig(of:)     the standalone speaker               (SpeakerLowering.swift)

internal import NetTypes
public import Topology

/// A lab with the indexes that repeated lowering needs.
public struct LabIntent: Sendable {
  public let lab: ResolvedLab
  /// Indexes into `lab.sessions`, by node, for ends that are netloom speakers.
  let sessionsByNode: [String: [Int]]
  /// Indexes into `lab.nodes` of the nodes that forward in an AS, by its number.
  let members: [UInt32: [Int]]
  let fabric: SwitchFabric
  /// Addresses of services that a router originates, and the pods it leads them to: by router, then address.
  let announcements: [String: [IPPrefix: Announcement]]

  public init(_ lab: ResolvedLab) {
    self.lab = lab
    var sessions: [String: [Int]] = [:]
    for (index, session) in lab.sessions.enumerated() {
      for end in [session.a, session.b] where !end.daemon { sessions[end.node, default: []].append(index) }
    }
    sessionsByNode = sessions
    var members: [UInt32: [Int]] = [:]
    for (index, node) in lab.nodes.enumerated() where node.kind.forwards {
      if let asn = node.asn { members[asn.rawValue, default: []].append(index) }
    }
    self.members = members
    fabric = SwitchFabric(lab)
    announcements = Announcement.all(of: lab)
  }
}
