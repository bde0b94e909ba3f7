internal import CLinux
import Glibc

/// The kind of a netlink message (linux/netlink.h, linux/rtnetlink.h).
package struct MessageType: Hashable, Sendable {
  package let rawValue: UInt16

  package init(rawValue: UInt16) { self.rawValue = rawValue }
  private init(_ value: some BinaryInteger) { rawValue = UInt16(truncatingIfNeeded: value) }

  package static let error = MessageType(NLMSG_ERROR)
  package static let done = MessageType(NLMSG_DONE)
  static let overrun = MessageType(NLMSG_OVERRUN)
  static let newLink = MessageType(RTM_NEWLINK)
  static let deleteLink = MessageType(RTM_DELLINK)
  static let getLink = MessageType(RTM_GETLINK)
  static let newAddress = MessageType(RTM_NEWADDR)
  static let deleteAddress = MessageType(RTM_DELADDR)
  static let getAddress = MessageType(RTM_GETADDR)
  static let newRoute = MessageType(RTM_NEWROUTE)
  static let deleteRoute = MessageType(RTM_DELROUTE)
  static let getRoute = MessageType(RTM_GETROUTE)
  static let newNeighbour = MessageType(RTM_NEWNEIGH)
  static let deleteNeighbour = MessageType(RTM_DELNEIGH)
  static let getNeighbour = MessageType(RTM_GETNEIGH)
  static let newRule = MessageType(RTM_NEWRULE)
  static let deleteRule = MessageType(RTM_DELRULE)
  static let getRule = MessageType(RTM_GETRULE)
  static let newNexthop = MessageType(RTM_NEWNEXTHOP)
  static let deleteNexthop = MessageType(RTM_DELNEXTHOP)
  static let getNexthop = MessageType(RTM_GETNEXTHOP)
  static let newQdisc = MessageType(RTM_NEWQDISC)
  static let deleteQdisc = MessageType(RTM_DELQDISC)
  static let getQdisc = MessageType(RTM_GETQDISC)
  static let newClass = MessageType(RTM_NEWTCLASS)
  static let deleteClass = MessageType(RTM_DELTCLASS)
  static let getClass = MessageType(RTM_GETTCLASS)
  static let newFilter = MessageType(RTM_NEWTFILTER)
  static let deleteFilter = MessageType(RTM_DELTFILTER)
  static let getFilter = MessageType(RTM_GETTFILTER)

  private static let names: [MessageType: String] = [
    .error: "NLMSG_ERROR", .done: "NLMSG_DONE", .overrun: "NLMSG_OVERRUN",
    .newLink: "RTM_NEWLINK", .deleteLink: "RTM_DELLINK", .getLink: "RTM_GETLINK",
    .newAddress: "RTM_NEWADDR", .deleteAddress: "RTM_DELADDR", .getAddress: "RTM_GETADDR",
    .newRoute: "RTM_NEWROUTE", .deleteRoute: "RTM_DELROUTE", .getRoute: "RTM_GETROUTE",
    .newNeighbour: "RTM_NEWNEIGH", .deleteNeighbour: "RTM_DELNEIGH", .getNeighbour: "RTM_GETNEIGH",
    .newRule: "RTM_NEWRULE", .deleteRule: "RTM_DELRULE", .getRule: "RTM_GETRULE",
    .newNexthop: "RTM_NEWNEXTHOP", .deleteNexthop: "RTM_DELNEXTHOP", .getNexthop: "RTM_GETNEXTHOP",
    .newQdisc: "RTM_NEWQDISC", .deleteQdisc: "RTM_DELQDISC", .getQdisc: "RTM_GETQDISC",
    .newClass: "RTM_NEWTCLASS", .deleteClass: "RTM_DELTCLASS", .getClass: "RTM_GETTCLASS",
    .newFilter: "RTM_NEWTFILTER", .deleteFilter: "RTM_DELTFILTER", .getFilter: "RTM_GETTFILTER",
  ]
}

extension MessageType: CustomStringConvertible {
  /// The kernel's name; an unknown number is shown as a number.
  package var description: String { Self.names[self] ?? "netlink message \(rawValue)" }
}

/// NLM_F_* bits of a request or an answer.
package struct MessageFlags: OptionSet, Sendable {
  package let rawValue: UInt16

  package init(rawValue: UInt16) { self.rawValue = rawValue }

  static let request = MessageFlags(rawValue: UInt16(NLM_F_REQUEST))
  static let multi = MessageFlags(rawValue: UInt16(NLM_F_MULTI))
  package static let acknowledge = MessageFlags(rawValue: UInt16(NLM_F_ACK))
  static let interrupted = MessageFlags(rawValue: UInt16(NLM_F_DUMP_INTR))
  package static let dump = MessageFlags(rawValue: UInt16(NLM_F_ROOT | NLM_F_MATCH))
  package static let replace = MessageFlags(rawValue: UInt16(NLM_F_REPLACE))
  package static let exclusive = MessageFlags(rawValue: UInt16(NLM_F_EXCL))
  package static let create = MessageFlags(rawValue: UInt16(NLM_F_CREATE))
  package static let append = MessageFlags(rawValue: UInt16(NLM_F_APPEND))
  /// Answers only: the refused request is not echoed, and attributes with the reason follow.
  static let capped = MessageFlags(rawValue: UInt16(NLM_F_CAPPED))
  static let reasons = MessageFlags(rawValue: UInt16(NLM_F_ACK_TLVS))
}

/// Number of an attribute within its message or nest. C writes them as macros, anonymous and named enumerations.
package struct AttributeType: Hashable, Sendable {
  package let rawValue: UInt16

  package init(_ value: some BinaryInteger) { rawValue = UInt16(truncatingIfNeeded: value) }
  package init<Named: RawRepresentable>(_ value: Named) where Named.RawValue == UInt32 {
    rawValue = UInt16(truncatingIfNeeded: value.rawValue)
  }
}
