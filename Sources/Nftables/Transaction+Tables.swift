internal import CLinux
internal import Netlink
internal import NetTypes

extension Transaction {
  /// A table with nothing in it. Refused when it stands (EEXIST).
  public mutating func add(_ table: TableID) {
    append(.newTable, [.create, .exclusive], table.family, about: .table(table)) { batch in
      batch.put(AttributeType(NFTA_TABLE_NAME), table.name)
    }
  }

  /// A table with its sets, chains and rules.
  public mutating func add(_ table: Table) {
    add(table.id)
    for chain in table.chains { add(chain, to: table.id) }
    for set in table.sets { add(set, to: table.id) }
    for chain in table.chains {
      for rule in chain.rules { append(rule, to: ChainID(table.id, chain.name)) }
    }
  }

  /// The table and all that is in it.
  public mutating func delete(_ table: TableID) {
    append(.deleteTable, [], table.family, about: .table(table)) { batch in
      batch.put(AttributeType(NFTA_TABLE_NAME), table.name)
    }
  }

  /// Owner and persistence cannot be changed; a table that is not dormant any more has its chains registered, those among
  /// them that this transaction adds. Must be the last that is said of it: the kernel takes no base chain after it
  /// (nf_tables_addchain of net/netfilter/nf_tables_api.c).
  public mutating func setFlags(_ flags: TableFlags, of table: TableID) {
    append(.newTable, [], table.family, about: .table(table)) { batch in
      batch.put(AttributeType(NFTA_TABLE_NAME), table.name)
      batch.put(network: flags.rawValue, AttributeType(NFTA_TABLE_FLAGS))
    }
  }

  /// Refused while rules or elements refer to it (EBUSY).
  public mutating func delete(_ object: StandingObject, from table: TableID) {
    append(.deleteObject, [], table.family, about: .object(table, object.name)) { batch in
      batch.put(AttributeType(NFTA_OBJ_TABLE), table.name)
      batch.put(AttributeType(NFTA_OBJ_NAME), object.name)
      batch.put(network: object.type, AttributeType(NFTA_OBJ_TYPE))
    }
  }

  public mutating func deleteFlowtable(_ name: String, from table: TableID) {
    append(.deleteFlowtable, [], table.family, about: .object(table, name)) { batch in
      batch.put(AttributeType(NFTA_FLOWTABLE_TABLE), table.name)
      batch.put(AttributeType(NFTA_FLOWTABLE_NAME), name)
    }
  }

  /// The chain without its rules: they may refer to chains and sets that are yet to be added.
  public mutating func add(_ chain: Chain, to table: TableID) {
    append(.newChain, [.create, .exclusive], table.family, about: .chain(ChainID(table, chain.name))) { batch in
      batch.put(AttributeType(NFTA_CHAIN_TABLE), table.name)
      batch.put(AttributeType(NFTA_CHAIN_NAME), chain.name)
      guard let base = chain.base else { return }
      batch.put(AttributeType(NFTA_CHAIN_TYPE), base.kind.rawValue)
      batch.put(network: base.policy.rawValue, AttributeType(NFTA_CHAIN_POLICY))
      batch.nest(AttributeType(NFTA_CHAIN_HOOK)) { $0.put(base) }
    }
  }

  public mutating func setPolicy(_ policy: ChainPolicy, of chain: ChainID) {
    append(.newChain, [], chain.table.family, about: .chain(chain)) { batch in
      batch.put(AttributeType(NFTA_CHAIN_TABLE), chain.table.name)
      batch.put(AttributeType(NFTA_CHAIN_NAME), chain.name)
      batch.put(network: policy.rawValue, AttributeType(NFTA_CHAIN_POLICY))
    }
  }

  /// The chain and its rules. Refused while others lead to it (EBUSY). Taking the last base chain of the kind `nat` of a
  /// hook away, even for a moment, resets the connections that it translates.
  public mutating func delete(_ chain: ChainID) {
    append(.deleteChain, [], chain.table.family, about: .chain(chain)) { batch in
      batch.put(AttributeType(NFTA_CHAIN_TABLE), chain.table.name)
      batch.put(AttributeType(NFTA_CHAIN_NAME), chain.name)
    }
  }

  /// Puts a rule behind all others of its chain.
  public mutating func append(_ rule: Rule, to chain: ChainID) { add(rule, to: chain, [.create, .append], nil) }

  /// Puts a rule right before a standing one.
  public mutating func insert(_ rule: Rule, in chain: ChainID, before handle: RuleHandle) {
    add(rule, to: chain, [.create], handle)
  }

  private mutating func add(_ rule: Rule, to chain: ChainID, _ flags: MessageFlags, _ position: RuleHandle?) {
    let subject = Subject.rule(chain, index: nextRuleIndex(in: chain), comment: rule.comment)
    var pending: [ExpressionWriter.PendingSet] = []
    for case .lookup(let lookup) in rule.expressions {
      if case .inline(let contents) = lookup.set { pending.append(add(contents, to: chain.table, for: subject)) }
    }
    append(.newRule, flags, chain.table.family, about: subject) { batch in
      batch.put(AttributeType(NFTA_RULE_TABLE), chain.table.name)
      batch.put(AttributeType(NFTA_RULE_CHAIN), chain.name)
      if let position { batch.put(network: position.rawValue, AttributeType(NFTA_RULE_POSITION)) }
      batch.put(rule.expressions, pendingSets: pending)
      guard !rule.comment.isEmpty else { return }
      var data = UserData()
      data.put(UInt8(NFTNL_UDATA_RULE_COMMENT.rawValue), rule.comment)
      batch.put(AttributeType(NFTA_RULE_USERDATA), data.bytes)
    }
  }

  /// - Parameter handle: nil: every rule of the chain.
  public mutating func deleteRule(_ handle: RuleHandle?, of chain: ChainID) {
    append(.deleteRule, [], chain.table.family, about: .deletedRule(chain, handle)) { batch in
      batch.put(AttributeType(NFTA_RULE_TABLE), chain.table.name)
      batch.put(AttributeType(NFTA_RULE_CHAIN), chain.name)
      if let handle { batch.put(network: handle.rawValue, AttributeType(NFTA_RULE_HANDLE)) }
    }
  }
}

extension MessageBatch {
  /// The value of NFTA_CHAIN_HOOK.
  fileprivate mutating func put(_ base: BaseChain) {
    put(network: base.hook.rawValue, AttributeType(NFTA_HOOK_HOOKNUM))
    put(network: UInt32(bitPattern: base.priority.rawValue), AttributeType(NFTA_HOOK_PRIORITY))
    if base.devices.count == 1 {
      put(AttributeType(NFTA_HOOK_DEV), base.devices[0].text)
    } else if !base.devices.isEmpty {
      nest(AttributeType(NFTA_HOOK_DEVS)) { batch in
        for device in base.devices { batch.put(AttributeType(NFTA_DEVICE_NAME), device.text) }
      }
    }
  }
}
