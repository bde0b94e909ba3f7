// The node between two events of its loop, as the controller reads it.

internal import BGPCore
internal import BGPSpeaker
internal import BGPWire
internal import ControlProtocol
internal import FIB
internal import FoundationEssentials
internal import NetTypes
internal import Netlink

extension Node {
  /// Everything but what the connection knows (wave, versions).
  func sample() -> NLSample {
    var message = NLSample()
    message.activity = kernelActivity
    message.idle = true
    if let view {
      message.links = view.links.values.filter { !$0.isLoopback }.sorted { $0.index < $1.index }
        .map { NLLinkState($0, view.addresses[$0.index] ?? []) }
    }
    guard let speaker else { return message }
    let sample = speaker.sample()
    message.activity &+= sample.activity
    message.ribVersion = sample.ribVersion
    message.ribRoutes = UInt64(sample.ribRoutes)
    message.sessions = sample.sessions.map(NLSessionSample.init)
    message.idle = sample.isIdle
    message.busyBecause = sample.busyBecause ?? ""
    if let fib {
      message.activity &+= fib.activity
      message.fibVersion = fib.acknowledgedVersion
      message.fibRoutes = UInt64(fib.routeCount)
      if message.idle, !fib.isIdle || isDraining || fib.acknowledgedVersion < sample.ribVersion {
        message.idle = false
        message.busyBecause = "fib"
      }
    } else {
      message.fibVersion = sample.ribVersion
    }
    return message
  }
}

extension NLLinkState {
  init(_ link: Link, _ addresses: [InterfaceAddress]) {
    self.init()
    interface = link.name
    up = link.isUp
    carrier = link.hasCarrier
    mtu = link.mtu
    ifindex = link.index.rawValue
    mac = Data(link.mac?.bytes ?? [])
    self.addresses = addresses.sorted { $0.address < $1.address }.map(NLPrefix.init)
    rxPackets = link.statistics.receivedPackets
    txPackets = link.statistics.sentPackets
    rxBytes = link.statistics.receivedBytes
    txBytes = link.statistics.sentBytes
    rxDropped = link.statistics.receivedDropped
    txDropped = link.statistics.sentDropped
  }
}

extension NLSessionSample {
  init(_ sample: SessionSample) {
    self.init()
    key = sample.session
    neighbor = sample.neighbor
    state = NLSessionState(sample.state)
    if let local = sample.local {
      localAddress = local.address.data
      localPort = UInt32(local.port)
    }
    if let remote = sample.remote {
      remoteAddress = remote.address.data
      remotePort = UInt32(remote.port)
    }
    updatesSent = sample.updatesSent
    updatesProcessed = sample.updatesProcessed
    families = sample.families.map(NLFamilyState.init)
    lastError = sample.lastError ?? ""
    daemon = sample.isDaemon
    remoteAsn = sample.remoteASN?.rawValue ?? 0
    remoteID = sample.remoteID ?? 0
    establishedMs = sample.establishedAtMilliseconds ?? 0
    flaps = sample.flaps
    bytesIn = sample.bytesIn
    bytesOut = sample.bytesOut
    hold = UInt32(sample.holdSeconds)
    keepalive = UInt32(sample.keepaliveSeconds)
    capabilities = sample.capabilities
    peerSendsEor = sample.peerSendsEndOfRIB
  }
}

extension NLFamilyState {
  init(_ sample: FamilySample) {
    self.init()
    family = NLFamily(sample.family)
    eorReceived = sample.endOfRIBReceived
    eorSent = sample.endOfRIBSent
    prefixesReceived = UInt64(clamping: sample.prefixesReceived)
    prefixesAccepted = UInt64(clamping: sample.prefixesAccepted)
    prefixesSent = UInt64(clamping: sample.prefixesSent)
    stale = UInt64(clamping: sample.stale)
  }
}

extension NLSessionState {
  init(_ state: SessionState) {
    self =
      switch state {
      case .idle: .idle
      case .connect: .connect
      case .active: .active
      case .openSent: .openSent
      case .openConfirm: .openConfirm
      case .established: .established
      }
  }
}
