import BGPWire
import NetTypes

/// One value an address family: of prefixes, or of flow rules, never of both at once.
struct PerFamily<Value> {
  var ipv4: Value
  var ipv6: Value

  init(_ value: Value) {
    ipv4 = value
    ipv6 = value
  }

  subscript(family: Family) -> Value {
    get { family.addressFamily == .ipv4 ? ipv4 : ipv6 }
    set { if family.addressFamily == .ipv4 { ipv4 = newValue } else { ipv6 = newValue } }
  }
}

/// A neighbor as the table keeps it. Entry 0 of the table is the speaker itself.
struct Peer: ~Copyable {
  /// How far the table has been walked to announce all of it: after a session came up, on ROUTE-REFRESH, after a
  /// change of export policy.
  struct Walk {
    /// Next prefix id; 0: nothing to do.
    var cursor: UInt32 = 0
    /// Also what was announced already in the same words.
    var repeats = false
  }

  var settings: PeerSettings
  var isExternal: Bool
  /// The slot is taken.
  var isConfigured = true
  /// nil: no session.
  var negotiated: Negotiated?
  var context = UpdateContext(hasFourOctetAS: true, isExternal: true)
  /// Kept when the session goes, for stale routes.
  var routerID: UInt32 = 0
  /// Of the last session.
  var localAddress: IPAddress?
  /// What the next-hop table counts as ours on behalf of this neighbor.
  var ownAddresses: [IPAddress] = []
  var addressKey: PrefixKey
  /// Of the import side; new with every change of it.
  var epoch: UInt16 = 0
  var importing = PolicyBinding.reject
  var exporting = PolicyBinding.reject
  /// Index of the export group while the session is up and something may be sent.
  var group: Int?

  var received = PerFamily(0)
  var accepted = PerFamily(0)
  var stale = PerFamily(0)
  var sent = PerFamily(0)
  var endOfRIBReceived: FamilySet = []
  var endOfRIBSent: FamilySet = []
  var endOfRIBDue: FamilySet = []
  var walks = PerFamily(Walk())
  var out = Pool<AdjRIBOut>(capacity: 2)
  var flows = PeerFlows()

  init(_ settings: PeerSettings, isExternal: Bool) {
    self.settings = settings
    self.isExternal = isExternal
    addressKey = PrefixKey(hostOf: settings.address)
    out.append(AdjRIBOut())
    out.append(AdjRIBOut())
  }
}
