import EventLoop
import Foundation
import NetTypes
import Synchronization

@testable import Sidecar

/// A sidecar that follows a control plane, as the program does it, on threads of this process. It listens on the
/// services' own addresses in place of redirected connections.
final class RunningPod: Sendable {
  typealias Letter = @Sendable (DiscoveryClient) -> Void

  let name: String
  let sidecar: Sidecar
  private let letters = Mutex<[Letter]>([])
  private let waker = Mutex<Waker?>(nil)
  private let lines = Mutex<[String]>([])
  private let isOver = Mutex(false)
  private let ended = Gate(1)
  private let ready = Gate(1)

  /// What it has said.
  var reports: [String] { lines.withLock { $0 } }

  init(_ name: String, _ socket: String, inbound: IPAddress, isClient: Bool = false) throws {
    self.name = name
    var base = SidecarConfiguration()
    base.pod = name
    sidecar = try Sidecar(base)
    let session = DiscoverySession(node: name, base, .none(inbound: inbound, outbound: isClient))
    let started = Gate(1)
    Thread { [self] in
      run(session, socket, started)
      ended.pass()
    }.start()
    started.wait()
  }

  private func run(_ session: DiscoverySession, _ socket: String, _ started: Gate) {
    do {
      let loop = try EventLoop()
      let client = DiscoveryClient(loop, socket, session, sidecar) { [self] line in lines.withLock { $0.append(line) } }
      client.onReady = { [self] in ready.pass() }
      let waker = try loop.waker { [self] in
        let work = letters.withLock { letters in
          defer { letters = [] }
          return letters
        }
        for letter in work { letter(client) }
        if isOver.withLock({ $0 }) { loop.stop() }
      }
      self.waker.withLock { $0 = waker }
      client.start()
      started.pass()
      try loop.run()
      client.stop()
    } catch {
      started.pass()
    }
  }

  func ask<Value: Sendable>(_ body: @escaping @Sendable (DiscoveryClient) -> Value) -> Value? {
    let box = ResultBox<Value>()
    let done = Gate(1)
    letters.withLock { letters in
      letters.append { client in
        box.add(body(client))
        done.pass()
      }
    }
    waker.withLock { $0 }?.wake()
    done.wait()
    return box.values.first
  }

  /// Until the sidecar has said that it is.
  func waitUntilReady() { ready.wait() }

  func stop() {
    isOver.withLock { $0 = true }
    waker.withLock { $0 }?.wake()
    ended.wait()
    sidecar.stop()
  }

  /// Requests that came to the pod's port and were answered, refused ones not counted.
  var inboundRequests: UInt64 {
    sidecar.onEveryWorker { $0.edgeSnapshot }.reduce(0) { sum, edges in
      edges.reduce(sum) { $1.key.direction == .inbound ? $0 + $1.value.responses[2] : $0 }
    }
  }
}

extension RunningPod {
  /// Of the sidecar to others.
  var connectionsOpened: UInt64 {
    sidecar.onEveryWorker { $0.edgeSnapshot }.reduce(0) { sum, edges in
      edges.values.reduce(sum) { $0 + $1.connectionsOpened }
    }
  }

  /// PEM, in force.
  var certificateChain: [UInt8] { sidecar.configuration.certificates?.chain ?? [] }
}
