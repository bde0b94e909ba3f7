internal import CLinux
internal import Netlink

// A set's shape and elements as attributes (enum nft_set_attributes, nft_set_elem_attributes).

extension MessageBatch {
  mutating func put(_ shape: SetShape, size: UInt32?) {
    put(network: DataType.number(of: shape.key), AttributeType(NFTA_SET_KEY_TYPE))
    put(network: UInt32(DataType.length(of: shape.key)), AttributeType(NFTA_SET_KEY_LEN))
    switch shape.answer {
    case .data(let fields, let isRange)?:
      let length = DataType.length(of: fields) * (isRange ? 2 : 1)
      put(network: DataType.number(of: fields), AttributeType(NFTA_SET_DATA_TYPE))
      put(network: UInt32(length), AttributeType(NFTA_SET_DATA_LEN))
    case .verdict?:
      put(network: UInt32(NFT_SET_VERDICTS), AttributeType(NFTA_SET_DATA_TYPE))
      put(network: UInt32(0), AttributeType(NFTA_SET_DATA_LEN))
    case nil: break
    }
    if let timeout = shape.timeout, timeout > 0 { put(network: timeout, AttributeType(NFTA_SET_TIMEOUT)) }
    if size != nil || shape.isIntervalConcatenation {
      nest(AttributeType(NFTA_SET_DESC)) { batch in
        if let size { batch.put(network: size, AttributeType(NFTA_SET_DESC_SIZE)) }
        if shape.isIntervalConcatenation { batch.putFields(shape.key) }
      }
    }
    put(AttributeType(NFTA_SET_USERDATA), shape.userData.bytes)
  }

  /// The lengths of a concatenation's fields.
  private mutating func putFields(_ fields: [DataType]) {
    nest(AttributeType(NFTA_SET_DESC_CONCAT)) { batch in
      for field in fields {
        batch.nest(AttributeType(NFTA_LIST_ELEM)) { batch in
          batch.put(network: UInt32(field.length), AttributeType(NFTA_SET_FIELD_LEN))
        }
      }
    }
  }

  mutating func put(_ element: SetElement, of shape: SetShape) {
    nest(AttributeType(NFTA_LIST_ELEM)) { batch in
      if element.key.isCatchAll {
        batch.put(network: NFT_SET_ELEM_CATCHALL.rawValue, AttributeType(NFTA_SET_ELEM_FLAGS))
      } else {
        batch.put(AttributeType(NFTA_SET_ELEM_KEY), data: element.key.first)
        if shape.isIntervalConcatenation { batch.put(AttributeType(NFTA_SET_ELEM_KEY_END), data: element.key.last) }
      }
      if let timeout = element.timeout { batch.put(network: timeout, AttributeType(NFTA_SET_ELEM_TIMEOUT)) }
      switch element.value {
      case .data(let bytes)?: batch.put(AttributeType(NFTA_SET_ELEM_DATA), data: bytes)
      case .verdict(let verdict)?:
        batch.nest(AttributeType(NFTA_SET_ELEM_DATA)) { $0.put(verdict) }
      case nil: break
      }
    }
    guard shape.isInterval, !shape.isIntervalConcatenation, !element.key.isCatchAll else { return }
    // An interval of a single key ends where the next value begins, unless there is no next value.
    guard let end = element.key.last.successor else { return }
    nest(AttributeType(NFTA_LIST_ELEM)) { batch in
      batch.put(AttributeType(NFTA_SET_ELEM_KEY), data: end)
      batch.put(network: NFT_SET_ELEM_INTERVAL_END.rawValue, AttributeType(NFTA_SET_ELEM_FLAGS))
    }
  }

  private mutating func put(_ type: AttributeType, data bytes: [UInt8]) {
    nest(type) { $0.put(AttributeType(NFTA_DATA_VALUE), bytes) }
  }

  private mutating func put(_ verdict: Verdict) {
    nest(AttributeType(NFTA_DATA_VERDICT)) { batch in
      batch.put(network: UInt32(bitPattern: verdict.code), AttributeType(NFTA_VERDICT_CODE))
      if let chain = verdict.chain { batch.put(AttributeType(NFTA_VERDICT_CHAIN), chain) }
    }
  }
}

extension SetShape {
  /// Byte orders as nft's listing wants to know them (enum byteorder of nftables' include/datatype.h).
  private enum Order: UInt32 {
    case none = 0
    case host = 1
    case network = 2

    init(_ fields: [DataType]) {
      self = fields.count > 1 ? .none : fields[0].isHostOrder ? .host : .network
    }
  }

  var userData: UserData {
    var data = UserData()
    data.put(UInt8(NFTNL_UDATA_SET_KEYBYTEORDER.rawValue), Order(key).rawValue)
    switch answer {
    case .data(let fields, let isRange)?:
      data.put(UInt8(NFTNL_UDATA_SET_DATABYTEORDER.rawValue), Order(fields).rawValue)
      if isRange { data.put(UInt8(NFTNL_UDATA_SET_DATA_INTERVAL.rawValue), UInt32(1)) }
    case .verdict?: data.put(UInt8(NFTNL_UDATA_SET_DATABYTEORDER.rawValue), Order.none.rawValue)
    case nil: break
    }
    return data
  }

  static func isHostOrder(_ data: UserData, _ type: UInt8) -> Bool { data.number(type) == Order.host.rawValue }
}
