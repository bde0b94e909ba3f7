import HTTP1

/// A copy of a request: its response is taken and thrown away. No client's leaving would end it, so its time and the
/// number of them on a worker are bounded; what is too much is counted as refused.
final class MirroredRequest: DownstreamStream {
  let peerIdentity: String? = nil
  let peerAddress: SocketAddress? = nil
  let queued = 0
  private var exchange: Exchange?

  private static let milliseconds: UInt64 = 15_000
  static let most = 256

  static func start(
    _ worker: Worker, to cluster: ClusterRuntime, _ head: RequestHead, content: [UInt8], trailers: HeaderFields?
  ) {
    let mirrored = MirroredRequest()
    let service = ServiceRuntime(name: "mirror", direction: .outbound, .http, routes: [RouteRuntime(to: cluster)])
    guard worker.mirroredRequests < most else {
      worker.edge(service, cluster.configuration.name).counts.refusals["overflow", default: 0] += 1
      return
    }
    worker.mirroredRequests += 1
    let exchange = Exchange(worker, service, head, downstream: mirrored)
    exchange.replay = content
    exchange.keepsReplay = true
    exchange.requestEnded = true
    exchange.trailers = trailers
    // The exchange refers to its downstream weakly: it is this closure that holds both until the end.
    exchange.onOver = { _ in
      worker.mirroredRequests -= 1
      mirrored.exchange = nil
    }
    mirrored.exchange = exchange
    exchange.armRequestTimer(milliseconds)
    exchange.start()
  }

  func sendInterim(_ head: ResponseHead) {}
  func sendHead(_ head: ResponseHead) {}
  func sendBody(_ bytes: UnsafeRawBufferPointer) {}
  func sendEnd(_ trailers: HeaderFields?) {}
  func abortResponse() {}
  func awaitDrain() {}
  func resumeRequest() {}
  func pauseRequest() {}
}
