internal import ControlProtocol
internal import Foundation
internal import Intent
internal import Mesh
internal import NetTypes
internal import NIOCore
public import NorthboundAPI
internal import Topology

/// What container nodes run. netloom-machine knows it, keeps it for as long as the lab lives and brings every change to
/// an end, whatever becomes of this controller: a new one reads it from the machine's first message.
extension LabController {
  /// Longest time a change may be given, in seconds.
  static let longestImageChange = 3600.0

  /// The node runs the image from now on; or what it ran before, and why. While it changes, the pod's endpoint gets no
  /// requests: it is taken out of the mesh first and comes back when it is ready.
  public func setImage(_ request: ImageRequest, of name: String) async throws -> ImageReply {
    let begun = Instant.now
    let node = try find(name)
    guard node.container != nil else {
      throw APIError(code: "invalid", message: "\(name) has no `image` in the topology: it runs no container")
    }
    let within = request.within ?? 30
    guard within > 0, within <= Self.longestImageChange else {
      throw APIError(code: "invalid", message: "within: \(within) seconds; expected more than 0, and 3600 at most")
    }
    let environment = try Self.environment(request.env)
    do throws(ImageReference.Malformed) {
      _ = try ImageReference(reading: request.image)
    } catch {
      throw APIError(code: "invalid", message: "`\(request.image)` names no image; expected \(error.expected)")
    }
    guard !outage.nodes.contains(name), machine.nodes[name]?.state != "stopped" else {
      throw APIError(code: "unavailable", message: "\(name) is switched off")
    }
    guard !isHeld else {
      throw APIError(code: "conflict", message: "a change of the lab is under way; try again when it has ended")
    }
    guard imageChanges.insert(name).inserted else {
      throw APIError(code: "conflict", message: "another change of the image of \(name) is under way")
    }
    defer { imageChanges.remove(name) }
    let previous = machine.containers[name]?.digest.nonEmpty
    do {
      let digest = try await change(name, request.image, environment, within, begun)
      let ms = Double((Instant.now - begun).nanoseconds) / 1_000_000
      record(node: name, kind: "image", subject: request.image, text: "runs \(digest), ready after \(Int(ms)) ms")
      return ImageReply(node: name, image: request.image, digest: digest, readyMs: ms, previous: previous)
    } catch let error as APIError {
      record(node: name, kind: "image", subject: request.image, text: "refused: \(error.message)")
      // What netloom-machine could not do is a state of the lab, not a clash of requests.
      throw error.code == "conflict" ? APIError(code: "refused", message: error.message) : error
    }
  }

  private func change(
    _ name: String, _ image: String, _ environment: [String]?, _ within: Double, _ begun: Instant
  ) async throws -> String {
    var fetch = NLFetchImage()
    fetch.node = name
    fetch.image = image
    fetch.withinMs = UInt32(within * 1000)
    let digest = try await command(.fetchImage(fetch), timeout: .milliseconds(Int64(within * 1000) + 15_000))
      .container.digest
    let isDrained = await drain(name)
    let left = within - Double((Instant.now - begun).nanoseconds) / 1e9
    var order = NLSetImage()
    order.node = name
    order.image = Self.pinned(image, digest)
    order.environment = environment ?? []
    order.replacesEnvironment = environment != nil
    order.withinMs = UInt32(max(1, left) * 1000)
    order.drained = isDrained
    do {
      // Beside the time for the new image: its end, the end of the old, and the old one's way back.
      let reply = try await command(.setImage(order), timeout: .milliseconds(Int64(order.withinMs) + 55_000))
      machine.containers[name] = reply.container
    } catch {
      await undrain(name)
      throw error
    }
    // Who asks gets an endpoint that everybody knows of.
    await undrain(name)
    return digest
  }

  /// A tag may move between the two orders; its digest does not.
  private static func pinned(_ image: String, _ digest: String) -> String {
    image.contains("@") ? image : "\(image)@\(digest)"
  }

  private static func environment(_ values: [String: String]?) throws -> [String]? {
    guard let values else { return nil }
    for (name, value) in values where name.isEmpty || name.contains("=") || name.contains("\0") || value.contains("\0")
    {
      throw APIError(code: "invalid", message: "env: `\(name)`: expected a name without = and a value")
    }
    return values.map { "\($0.key)=\($0.value)" }.sorted()
  }

  // MARK: - In the mesh

  /// Every client stops sending the pod requests. False: it is no endpoint.
  private func drain(_ name: String) async -> Bool {
    guard mesh?.declared.pods.contains(where: { $0.name == name && $0.service != nil }) == true else { return false }
    draining.insert(name)
    await refreshedMesh()
    return true
  }

  private func undrain(_ name: String) async {
    if draining.remove(name) != nil { await refreshedMesh() }
  }

  /// Returns when every client has answered.
  private func refreshedMesh() async {
    guard let mesh else { return }
    let model = overlaid(mesh.declared, splits: state.splits)
    await withCheckedContinuation { continuation in applyMesh(model) { _ in continuation.resume() } }
  }

  /// It is as well as ever, and gets no requests because its image is being changed; by us, or by netloom-machine for a
  /// controller that is no more.
  func isDraining(_ name: String) -> Bool {
    draining.contains(name) || machine.containers[name]?.state == "changing"
  }

  /// Whether the mesh has to hear of what netloom-machine says of containers.
  func changesDrains(_ containers: [String: NLContainerState]) -> Bool {
    func changing(_ states: [String: NLContainerState]) -> [String] {
      states.values.filter { $0.state == "changing" }.map(\.node).sorted()
    }
    return changing(containers) != changing(machine.containers)
  }

  /// Why a container gets no requests; nil: nothing is wrong with it.
  func containerIllness(of name: String) -> String? {
    if isDraining(name) { return nil }
    let container = machine.containers[name]
    switch container?.state {
    case "ready": return agents[name]?.sample?.health == .ill ? "its health check fails" : nil
    case "failed": return "its container has failed: \(container?.reason ?? "")"
    default: return "its container is not ready"
    }
  }

  func containerStatus(of name: String) -> ContainerStatus? {
    guard let container = lab.node(name)?.container else { return nil }
    let state = machine.containers[name]
    // While the new image is fetched the machine knows of no change yet.
    return ContainerStatus(
      image: state?.image.nonEmpty ?? container.image.description, digest: state?.digest.nonEmpty,
      state: imageChanges.contains(name) ? "changing" : state?.state.nonEmpty ?? "stopped",
      reason: state?.reason.nonEmpty)
  }
}
