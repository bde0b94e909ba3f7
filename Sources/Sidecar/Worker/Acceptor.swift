// A listening socket of one worker, and what a new connection is for: the kernel's original destination says where a
// captured one was going, the purpose of the listener otherwise.
import EventLoop
import Glibc
import NetTypes
import TLS

/// A client that has connected, and what it wants.
struct Arrival {
  let service: ServiceRuntime
  let client: SocketAddress?
}

final class Acceptor {
  private unowned let worker: Worker
  private let listener: Listener
  private var descriptor: Int32
  let local: SocketAddress?
  private static let perEvent = 64

  init(_ worker: Worker, _ listener: Listener) throws(SystemError) {
    self.worker = worker
    self.listener = listener
    let socket = try TCPSocket.listen(listener.address, isTransparent: listener.isTransparent)
    let raw = socket.rawValue
    local = TCPSocket.local(raw)
    descriptor = -1
    try worker.loop.register(raw, .read) { [weak self] _ in self?.accept(Acceptor.perEvent) }
    descriptor = socket.release()
  }

  func resume() {
    guard descriptor >= 0 else { return }
    try? worker.loop.modify(descriptor, .read)
  }

  /// What has connected before the end is still served.
  func acceptRest() { accept(4096) }

  func close() {
    guard descriptor >= 0 else { return }
    worker.loop.unregister(descriptor)
    _ = Glibc.close(descriptor)
    descriptor = -1
  }

  private func accept(_ most: Int) {
    for _ in 0..<most {
      guard worker.mayAccept else {
        // Level triggering would report what waits again and again; a client that leaves resumes.
        try? worker.loop.modify(descriptor, [])
        return
      }
      do {
        guard let (socket, client) = try TCPSocket.accept(descriptor) else { return }
        take(FileDescriptor(owning: socket), client)
      } catch {
        worker.report("accept: \(error.text)")
        return worker.loop.rest(descriptor)
      }
    }
  }

  private func take(_ socket: consuming FileDescriptor, _ client: SocketAddress?) {
    guard let service = service(for: socket.rawValue, client) else { return TCPSocket.abort(socket.release()) }
    let arrival = Arrival(service: service, client: client)
    switch service.inbound?.port.mutualTLS ?? .off {
    case .off: serve(socket, arrival, tls: false)
    case .strict: serve(socket, arrival, tls: true)
    case .permissive: FirstByte.wait(worker, socket, arrival)
    }
  }

  private func service(for socket: Int32, _ client: SocketAddress?) -> ServiceRuntime? {
    switch listener.purpose {
    case .inboundCapture where listener.isTransparent:
      // Its own port was not captured: see below.
      guard let destination = TCPSocket.local(socket), destination.port != local?.port else { return nil }
      // An address of one link means nothing on another, loopback.
      let source = client.flatMap { $0.address.isLinkLocal ? nil : $0.address }
      return worker.inboundService(port: destination.port, destination: destination, source: source)
        ?? (worker.configuration.passesUnknownInbound ? worker.passthrough(to: destination) : nil)
    case .outbound(let name): return worker.services[name]
    case .inbound(let port):
      return TCPSocket.local(socket).flatMap { worker.inboundService(port: port, destination: $0) }
    case .outboundCapture, .inboundCapture:
      // A destination that is this listener itself was not captured: passing it on would come back here.
      guard let destination = TCPSocket.originalDestination(socket), destination != TCPSocket.local(socket) else {
        return nil
      }
      if listener.purpose == .inboundCapture {
        return worker.inboundService(port: destination.port, destination: destination)
          ?? (worker.configuration.passesUnknownInbound ? worker.passthrough(to: destination) : nil)
      }
      return worker.service(for: destination)
        ?? (worker.configuration.passesUnknown ? worker.passthrough(to: destination) : nil)
    }
  }

  private func serve(_ socket: consuming FileDescriptor, _ arrival: Arrival, tls: Bool) {
    ClientConnection.start(worker, socket, arrival, tls: tls)
  }
}

/// Waits for a client's first byte, which tells TLS (a handshake record, RFC 8446 section 5.1) from plain text. Only
/// where a port takes both. A client of TCP that is silent for a second waits for its server to speak first, as those of
/// mail and databases do: in the clear, since one with TLS begins by itself.
final class FirstByte: Drainable {
  private unowned let worker: Worker
  private let descriptor: Int32
  private let arrival: Arrival
  private var timer: LoopTimer?
  private var isOver = false

  static func wait(_ worker: Worker, _ socket: consuming FileDescriptor, _ arrival: Arrival) {
    let waiting = FirstByte(worker, socket.release(), arrival)
    worker.add(waiting)
    waiting.start()
  }

  private init(_ worker: Worker, _ descriptor: Int32, _ arrival: Arrival) {
    self.worker = worker
    self.descriptor = descriptor
    self.arrival = arrival
  }

  private func start() {
    let isTCP = arrival.service.applicationProtocol == .tcp
    let limit = isTCP ? FirstByte.silence : worker.configuration.limits.head
    timer = worker.loop.after(EventLoop.milliseconds(limit)) { [weak self] in
      guard let self else { return }
      if isTCP { start(tls: false) } else { closeNow() }
    }
    do {
      try worker.loop.register(descriptor, .read) { [self] _ in look() }
    } catch {
      closeNow()
    }
  }

  private func look() {
    let (byte, ended) = TCPSocket.peek(descriptor)
    if ended { return closeNow() }
    guard let byte else { return }
    start(tls: byte == 0x16)
  }

  /// Milliseconds.
  private static let silence: UInt64 = 1000

  private func start(tls: Bool) {
    guard !isOver else { return }
    // Another connection stands before this one has left: a worker without clients has drained.
    isOver = true
    timer?.cancel()
    worker.loop.unregister(descriptor)
    ClientConnection.start(worker, FileDescriptor(owning: descriptor), arrival, tls: tls)
    worker.remove(self)
  }

  /// What has been accepted may have sent its first request.
  func drain() {
    look()
    guard !isOver else { return }
    timer?.cancel()
    timer = worker.loop.after(EventLoop.milliseconds(HTTP1ServerConnection.firstRequestTime)) { [weak self] in
      self?.closeNow()
    }
  }

  func closeNow() {
    guard !isOver else { return }
    isOver = true
    timer?.cancel()
    worker.loop.unregister(descriptor)
    _ = Glibc.close(descriptor)
    worker.remove(self)
  }
}

/// The protocol of a connection's service decides who serves it.
enum ClientConnection {
  static func start(_ worker: Worker, _ socket: consuming FileDescriptor, _ arrival: Arrival, tls: Bool) {
    var makeTLS: ((Int32) throws -> TLSConnection)?
    if tls {
      guard let context = worker.runtime.contexts?.server(arrival.service.applicationProtocol) else {
        return TCPSocket.abort(socket.release())
      }
      makeTLS = { descriptor in try TLSConnection(context, descriptor: descriptor) }
    }
    do {
      let channel = try Channel(worker.loop, worker.flushQueue, socket, isConnecting: false, tls: makeTLS)
      switch arrival.service.applicationProtocol {
      case .tcp: TCPRelay(worker, channel, arrival).start()
      case _ where tls: Negotiation(worker, channel, arrival).start()
      case .http: HTTP1ServerConnection(worker, channel, arrival).start()
      case .http2, .grpc: HTTP2ServerConnection(worker, channel, arrival).start()
      }
    } catch {
      worker.report("client: \(error)")
    }
  }
}

/// Waits for the end of a handshake, which decides the version of HTTP (ALPN, RFC 7301); where nothing was agreed on, the
/// port's declaration does.
final class Negotiation: ChannelOwner, Drainable {
  private let worker: Worker
  private let channel: Channel
  private let arrival: Arrival
  private var timer: LoopTimer?

  init(_ worker: Worker, _ channel: Channel, _ arrival: Arrival) {
    self.worker = worker
    self.channel = channel
    self.arrival = arrival
  }

  func start() {
    channel.owner = self
    worker.add(self)
    timer = worker.loop.after(EventLoop.milliseconds(worker.configuration.limits.head)) { [weak self] in
      self?.closeNow()
    }
  }

  func channelReady(_ channel: Channel) {
    timer?.cancel()
    let isHTTP2: Bool =
      switch channel.tls?.negotiatedProtocol {
      case MeshProtocol.http2.rawValue: true
      case nil: arrival.service.applicationProtocol != .http
      default: false
      }
    // The next one takes its place before this one leaves: a worker without clients has drained.
    if isHTTP2 {
      let next = HTTP2ServerConnection(worker, channel, arrival)
      next.start()
      next.channelReady(channel)
    } else {
      let next = HTTP1ServerConnection(worker, channel, arrival)
      next.start()
      next.channelReady(channel)
    }
    worker.remove(self)
  }

  func channelReceived(_ channel: Channel, _ bytes: UnsafeRawBufferPointer) {}
  func channelDrained(_ channel: Channel) {}
  func channelEnded(_ channel: Channel) { closeNow() }

  func channelFailed(_ channel: Channel, _ failure: ChannelFailure) {
    if case .tls(let reason) = failure {
      worker.edge(arrival.service).counts.refusals["tls-\(reason.word)", default: 0] += 1
    }
    closeNow()
  }

  func drain() {}

  func closeNow() {
    timer?.cancel()
    channel.close()
    worker.remove(self)
  }
}
