import ControlProtocol
import NetTypes
import PathProof

extension NLLiveFlow {
  init(_ flow: LiveFlow) {
    self.init()
    client = "\(flow.client.address)"
    server = "\(flow.server.address)"
    `protocol` = UInt32(flow.proto)
    clientPort = UInt32(flow.client.port ?? 0)
    serverPort = UInt32(flow.server.port ?? 0)
    forward = NLPathReport(flow.forward).joined(flow)
    `return` = NLPathReport(flow.back).joined(flow)
    symmetric = flow.symmetric.message
    forwardBytes = flow.forwardBytes
    returnBytes = flow.backBytes
    undecidedBecause = flow.undecidedBecause ?? ""
  }
}

extension NLPathReport {
  /// Nobody put a nonce into these packets: datagrams were told apart by all they carry.
  fileprivate func joined(_ flow: LiveFlow) -> NLPathReport {
    guard flow.proto != 6 else { return self }
    var report = self
    for index in report.hops.indices { report.hops[index].joinedBy = "content" }
    return report
  }
}
