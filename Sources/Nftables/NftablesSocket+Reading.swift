internal import CLinux
internal import Glibc
internal import NetTypes
public import Netlink

extension NftablesSocket {
  /// How often reading is begun again before the tables are taken to be changing all the time.
  private static let readingAttempts = 16

  /// Every table of the namespace.
  public func tables() throws(KernelError) -> [TableID] { try flaggedTables().map(\.id) }

  private func flaggedTables() throws(KernelError) -> [(id: TableID, flags: TableFlags)] {
    try list(.getTable, .any) { message in
      guard let header = message.header(as: nfgenmsg.self) else { return nil }
      var name: String?
      var flags: UInt32 = 0
      for attribute in message.attributes(after: nfgenmsg.self) {
        switch attribute.type {
        case AttributeType(NFTA_TABLE_NAME): name = attribute.string
        case AttributeType(NFTA_TABLE_FLAGS): flags = attribute.network() ?? 0
        default: break
        }
      }
      let family = TableFamily(rawValue: header.nfgen_family)
      return name.map { (TableID(family, $0), TableFlags(rawValue: flags)) }
    }
  }

  /// What stands in those of `wanted` that exist, all of it at one moment, and which other tables there are.
  public func read(_ wanted: some Collection<TableID>) throws(KernelError) -> StandingRuleset {
    for _ in 0..<Self.readingAttempts {
      let generation = try generation()
      var standing = StandingRuleset(generation: generation, tables: [], foreign: [])
      do throws(KernelError) {
        for (table, flags) in try flaggedTables() {
          if wanted.contains(table) {
            standing.tables.append(try read(table, flags))
          } else {
            standing.foreign.append(table)
          }
        }
      } catch {
        guard error.isNotThere else { throw error }  // gone while it was being read
      }
      if try self.generation() == generation { return standing }
    }
    throw KernelError(number: EINTR, call: "nftables read", subject: "the tables kept changing")
  }

  private func read(_ table: TableID, _ flags: TableFlags) throws(KernelError) -> StandingTable {
    var named: [NamedSet] = []
    var anonymous: [String: SetContents] = [:]
    for set in try sets(of: table) {
      let elements = try elements(of: set)
      if set.isAnonymous {
        anonymous[set.name] = SetContents(set.shape, elements.map(\.canonical))
      } else {
        named.append(NamedSet(set.name, set.shape, elements))
      }
    }
    var chains = try chains(of: table)
    var places: [String: Int] = [:]
    for (place, chain) in chains.enumerated() { places[chain.name] = place }
    for (chain, rule) in try rules(of: table, anonymous) {
      if let place = places[chain] { chains[place].rules.append(rule) }
    }
    return StandingTable(
      id: table, flags: flags, objects: try objects(of: table), flowtables: try flowtables(of: table), sets: named,
      chains: chains)
  }

  private func objects(of table: TableID) throws(KernelError) -> [StandingObject] {
    try list(.getObject, table.family, { $0.put(AttributeType(NFTA_OBJ_TABLE), table.name) }) { message in
      var object = StandingObject(type: 0, name: "")
      for attribute in message.attributes(after: nfgenmsg.self) {
        switch attribute.type {
        case AttributeType(NFTA_OBJ_TABLE): guard attribute.string == table.name else { return nil }
        case AttributeType(NFTA_OBJ_NAME): object.name = attribute.string
        case AttributeType(NFTA_OBJ_TYPE): object.type = attribute.network() ?? 0
        default: break
        }
      }
      return object
    }
  }

  private func flowtables(of table: TableID) throws(KernelError) -> [String] {
    try list(.getFlowtable, table.family, { $0.put(AttributeType(NFTA_FLOWTABLE_TABLE), table.name) }) { message in
      var (place, name): (String?, String?)
      for attribute in message.attributes(after: nfgenmsg.self) {
        switch attribute.type {
        case AttributeType(NFTA_FLOWTABLE_TABLE): place = attribute.string
        case AttributeType(NFTA_FLOWTABLE_NAME): name = attribute.string
        default: break
        }
      }
      return place == table.name ? name : nil
    }
  }

  private func sets(of table: TableID) throws(KernelError) -> [StandingSet] {
    let found = try list(.getSet, table.family, { $0.put(AttributeType(NFTA_SET_TABLE), table.name) }) {
      StandingSet($0)
    }
    return found.filter { $0.table == table }
  }

  private func elements(of set: StandingSet) throws(KernelError) -> [SetElement] {
    let parts = try list(
      .getElements, set.table.family,
      { batch in
        batch.put(AttributeType(NFTA_SET_ELEM_LIST_TABLE), set.table.name)
        batch.put(AttributeType(NFTA_SET_ELEM_LIST_SET), set.name)
      }
    ) { message -> ElementCollector? in
      var part = ElementCollector(set.shape)
      part.read(message)
      return part
    }
    var whole = ElementCollector(set.shape)
    for part in parts { whole.add(part) }
    return whole.elements
  }

  /// What stands in one set or map, elements that packets added included: with counters and time left.
  public func elements(of name: String, in table: TableID) throws(KernelError) -> [SetElement] {
    guard let set = try sets(of: table).first(where: { $0.name == name }) else {
      throw KernelError(number: ENOENT, call: TableOperation.getElements.description, subject: "\(table) \(name)")
    }
    return try elements(of: set).sorted { $0.key < $1.key }
  }

  private func chains(of table: TableID) throws(KernelError) -> [StandingChain] {
    try list(.getChain, table.family) { StandingChain($0, of: table) }
  }

  private func rules(
    of table: TableID, _ anonymous: [String: SetContents]
  ) throws(KernelError) -> [(chain: String, rule: StandingRule)] {
    try list(.getRule, table.family, { $0.put(AttributeType(NFTA_RULE_TABLE), table.name) }) { message in
      guard let (place, handle, comment) = StandingRule.place(message), place.table == table else { return nil }
      var expressions = Expression.list(of: message)
      for index in expressions.indices {
        if case .lookup(var lookup) = expressions[index], let contents = lookup.set.name.flatMap({ anonymous[$0] }) {
          lookup.set = .inline(contents)
          expressions[index] = .lookup(lookup)
        }
      }
      return (place.name, StandingRule(handle: handle, rule: Rule(expressions, comment: comment)))
    }
  }

  /// A whole list, begun again by `NetlinkSocket.dump` when the tables changed under it.
  private func list<Entry>(
    _ operation: TableOperation, _ family: TableFamily, _ attributes: (inout MessageBatch) -> Void = { _ in },
    decode: (Message) -> Entry?
  ) throws(KernelError) -> [Entry] {
    try attempt(operation) { () throws(KernelError) in
      try netlink.dump(operation.messageType, nfgenmsg(family), attributes: attributes, decode: decode)
    }
  }
}

extension StandingRule {
  /// Where a rule stands, and what is known of it besides its expressions.
  static func place(_ message: Message) -> (ChainID, RuleHandle, comment: String)? {
    guard let header = message.header(as: nfgenmsg.self) else { return nil }
    var table = ""
    var chain = ""
    var comment = ""
    var handle: UInt64?
    for attribute in message.attributes(after: nfgenmsg.self) {
      switch attribute.type {
      case AttributeType(NFTA_RULE_TABLE): table = attribute.string
      case AttributeType(NFTA_RULE_CHAIN): chain = attribute.string
      case AttributeType(NFTA_RULE_HANDLE): handle = attribute.network()
      case AttributeType(NFTA_RULE_USERDATA):
        comment = UserData(attribute.value).text(UInt8(NFTNL_UDATA_RULE_COMMENT.rawValue)) ?? ""
      default: break
      }
    }
    guard let handle else { return nil }
    let id = ChainID(TableID(TableFamily(rawValue: header.nfgen_family), table), chain)
    return (id, RuleHandle(rawValue: handle), comment)
  }
}

extension StandingChain {
  /// nil: of another table.
  init?(_ message: Message, of table: TableID) {
    guard let header = message.header(as: nfgenmsg.self), header.nfgen_family == table.family.rawValue
    else { return nil }
    self.init(name: "", base: nil, rules: [])
    var base = BaseChain(.filter, .prerouting, .filter)
    var isBase = false
    for attribute in message.attributes(after: nfgenmsg.self) {
      switch attribute.type {
      case AttributeType(NFTA_CHAIN_TABLE): guard attribute.string == table.name else { return nil }
      case AttributeType(NFTA_CHAIN_NAME): name = attribute.string
      case AttributeType(NFTA_CHAIN_TYPE): base.kind = ChainKind(rawValue: attribute.string)
      case AttributeType(NFTA_CHAIN_POLICY):
        base.policy = attribute.network().flatMap(ChainPolicy.init(rawValue:)) ?? .accept
      case AttributeType(NFTA_CHAIN_HOOK):
        isBase = true
        base.read(attribute)
      default: break
      }
    }
    if isBase { self.base = base }
  }
}

extension BaseChain {
  fileprivate mutating func read(_ hook: Attribute) {
    var names: [String] = []
    for attribute in hook.nested {
      switch attribute.type {
      case AttributeType(NFTA_HOOK_HOOKNUM): self.hook = Hook(rawValue: attribute.network() ?? 0)
      case AttributeType(NFTA_HOOK_PRIORITY): priority = ChainPriority(rawValue: attribute.network() ?? 0)
      case AttributeType(NFTA_HOOK_DEV): names.append(attribute.string)
      case AttributeType(NFTA_HOOK_DEVS): names += attribute.nested.map(\.string)
      default: break
      }
    }
    // The kernel tells a single device both ways.
    devices = Set(names).compactMap { InterfaceName($0) }.sorted { $0.text < $1.text }
  }
}
