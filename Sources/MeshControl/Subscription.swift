internal import XDS

/// What one client's stream has asked for of one type, what it was sent, and what it said to that.
struct Subscription {
  /// A response that waits for its ACK or NACK.
  struct Push {
    let version: String
    let nonce: String
    let resources: [String: Resource]
    let sentAt: UInt64
  }

  private(set) var names: Set<String> = []
  private(set) var isWildcard = false
  /// Of the last response; the client's next word about it carries it back.
  private(set) var nonce = ""
  private(set) var outstanding: Push?
  /// What was sent last, whether it was liked or not: only what differs from it is sent.
  private(set) var sent: [String: Resource] = [:]
  /// What the client has taken and holds.
  private(set) var held: [String: Resource] = [:]
  private(set) var sentVersion = ""
  private(set) var sentAt: UInt64 = 0
  private(set) var acknowledgedVersion = ""
  private(set) var acknowledgedAt: UInt64 = 0
  /// Why the last response was refused; nil when it was not.
  private(set) var refusal: String?
  private(set) var refusals = 0
  /// The client waits for an answer: it subscribed, or to more than before. Even an empty one.
  private(set) var isAwaited = true
  /// Names whose resource goes out again although it is the same.
  private(set) var renewed: Set<String> = []
  /// The version that the client says it has from another stream, until that has been looked at.
  private(set) var claim: String?
  /// What was refused last.
  private var refused: Push?

  init(_ names: Set<String>, isWildcard: Bool, claim: String = "") {
    self.names = names
    self.isWildcard = isWildcard
    self.claim = claim.isEmpty ? nil : claim
  }

  /// Looks at the claim, once: where it is the version of just these resources, the client has them and waits for nothing.
  /// - Returns: whether it is.
  mutating func weighClaim(_ wanted: [String: Resource], _ version: ResourceVersion) -> Bool {
    guard let claim else { return false }
    self.claim = nil
    guard isAwaited, version.hasContent(of: claim) else { return false }
    sent = wanted
    held = wanted
    (sentVersion, acknowledgedVersion) = (claim, claim)
    isAwaited = false
    return true
  }

  /// Another list of names. What the client asked for anew is awaited; what it dropped, it has forgotten.
  mutating func subscribe(_ new: Set<String>, isWildcard wildcard: Bool) {
    if wildcard != isWildcard || !new.isSubset(of: names) { isAwaited = true }
    if !wildcard {
      sent = sent.filter { new.contains($0.key) }
      held = held.filter { new.contains($0.key) }
    }
    names = new
    isWildcard = wildcard
  }

  /// The client's word about the response that is outstanding.
  mutating func acknowledge(refusal: String?, now: UInt64) {
    guard let push = outstanding else { return }
    outstanding = nil
    self.refusal = refusal
    refused = refusal == nil ? nil : push
    if refusal != nil {
      refusals += 1
      return
    }
    take(push, now)
  }

  /// The client has thought better of what it refused last: what it lacked has come.
  mutating func acknowledgeLate(now: UInt64) {
    guard let push = refused else { return }
    refused = nil
    refusal = nil
    take(push, now)
  }

  private mutating func take(_ push: Push, _ now: UInt64) {
    acknowledgedVersion = push.version
    acknowledgedAt = now
    held.merge(push.resources.filter { names.contains($0.key) || isWildcard }) { _, new in new }
  }

  /// After a response of which what it leaves out is gone.
  mutating func forgetWhatIsGone() { held = held.filter { sent[$0.key] != nil } }

  mutating func renew(_ wanted: Set<String>) { renewed.formUnion(wanted.intersection(names)) }

  /// Notes a response as sent.
  /// - Parameter whole: it says everything there is; what is not in it no longer is.
  mutating func push(_ push: Push, whole: Bool) {
    outstanding = push
    nonce = push.nonce
    sentVersion = push.version
    sentAt = push.sentAt
    sent = whole ? push.resources : sent.merging(push.resources) { _, new in new }
    isAwaited = false
    renewed = []
  }

  /// Which of the resources that the client should have it was not sent as they are.
  func difference(to wanted: [String: Resource]) -> [String: Resource] {
    wanted.filter { name, resource in renewed.contains(name) || sent[name]?.revision != resource.revision }
  }
}
