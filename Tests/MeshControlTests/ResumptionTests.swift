import Mesh
import SwiftProtobuf
import Testing
import XDS

@testable import MeshControl

/// A control plane that was restarted, and clients that tell it what they have.
struct ResumptionTests {
  /// What one stream holds of each type, as its client would say it on the next stream.
  private func versions(_ model: MeshModel, names: [ResourceType: [String]]) throws -> [ResourceType: String] {
    var catalog = ResourceCatalog(model)
    var stream = AggregatedStream()
    var versions: [ResourceType: String] = [:]
    for type in ResourceType.allCases {
      guard let wanted = names[type] else { continue }
      let found = catalog.snapshot(ofPod: "client-1", .sidecar)
      let snapshot = try #require(found)
      try stream.receive(request(type, wanted), now: 1)
      let response = try #require(stream.next(snapshot, now: 1).first)
      versions[type] = response.versionInfo
      try stream.receive(request(type, wanted, nonce: response.nonce), now: 2)
    }
    return versions
  }

  private func request(_ type: ResourceType, _ names: [String], version: String = "", nonce: String = "")
    -> EnvoyDiscoveryRequest
  {
    var request = EnvoyDiscoveryRequest()
    request.typeURL = type.typeURL
    request.resourceNames = names
    request.versionInfo = version
    request.responseNonce = nonce
    return request
  }

  private let names: [ResourceType: [String]] = [
    .cluster: [], .endpoints: ["web", "web-v1", "web-v2", "db"], .listener: [], .routes: ["web"],
  ]

  @Test func aClientThatHasEverythingIsSentNothing() throws {
    let held = try versions(SampleMesh.model(), names: names)
    var catalog = ResourceCatalog(SampleMesh.model())
    var stream = AggregatedStream()
    let found = catalog.snapshot(ofPod: "client-1", .sidecar)
    let snapshot = try #require(found)
    for type in ResourceType.allCases {
      guard let wanted = names[type], let version = held[type] else { continue }
      try stream.receive(request(type, wanted, version: version), now: 1)
      #expect(stream.next(snapshot, now: 1).isEmpty, "\(type)")
      #expect(stream.subscriptions[type]?.acknowledgedVersion == version)
    }
    // Sidecars ask for their secrets a little later.
    #expect(!stream.isCurrent(snapshot) && snapshot.needsSecrets)
  }

  @Test func onlyWhatHasChangedMeanwhileIsSent() throws {
    let held = try versions(SampleMesh.model(), names: names)
    var changed = SampleMesh.model()
    changed.splits["web"] = ["v1": 80, "v2": 20]
    var catalog = ResourceCatalog(changed)
    var stream = AggregatedStream()
    var sent: [String] = []
    let found = catalog.snapshot(ofPod: "client-1", .sidecar)
    let snapshot = try #require(found)
    for type in ResourceType.allCases {
      guard let wanted = names[type], let version = held[type] else { continue }
      try stream.receive(request(type, wanted, version: version), now: 1)
      sent += stream.next(snapshot, now: 1).map(\.typeURL)
    }
    #expect(sent == [ResourceType.routes.typeURL])
  }

  @Test func aVersionOfSomebodyElseIsNoVersion() throws {
    var catalog = ResourceCatalog(SampleMesh.model())
    var stream = AggregatedStream()
    let found = catalog.snapshot(ofPod: "client-1", .sidecar)
    let snapshot = try #require(found)
    for version in ["7", "nonsense", ".", "1.0", "99999999999999999999.5"] {
      stream = AggregatedStream()
      try stream.receive(request(.cluster, [], version: version), now: 1)
      #expect(stream.next(snapshot, now: 1).count == 1, "\(version)")
    }
  }

  @Test func generationsGoOnFromTheNewestThatAClientHas() throws {
    var model = SampleMesh.model()
    var old = ResourceCatalog(model)
    for weight in 1...5 {
      model.splits["web"] = ["v1": weight]
      old.update(model)
    }
    let found = old.snapshot(ofPod: "client-1", .sidecar)
    let snapshot = try #require(found)
    let version = ResourceVersion(generation: snapshot.generation, [:]).description
    var stream = AggregatedStream()
    try stream.receive(request(.cluster, [], version: version), now: 1)
    #expect(stream.claimedGeneration == 5)
    var new = ResourceCatalog(model)
    new.count(from: 5)
    model.splits["web"] = ["v1": 6]
    new.update(model)
    #expect(new.generation == 6)
  }

  @Test func whatWasRefusedForWantingSomethingIsAcknowledgedWhenThatHasCome() throws {
    var catalog = ResourceCatalog(SampleMesh.model())
    var stream = AggregatedStream()
    let found = catalog.snapshot(ofPod: "client-1", .sidecar)
    let snapshot = try #require(found)
    try stream.receive(request(.listener, []), now: 1)
    let response = try #require(stream.next(snapshot, now: 1).first)
    var nack = request(.listener, [], nonce: response.nonce)
    nack.errorDetail.message = "waits for routes web"
    try stream.receive(nack, now: 2)
    #expect(stream.refusals.map(\.1) == ["waits for routes web"])
    // Another word of the old version is none about the new one.
    try stream.receive(request(.listener, [], nonce: response.nonce), now: 3)
    #expect(stream.refusals.count == 1)
    try stream.receive(request(.listener, [], version: response.versionInfo, nonce: response.nonce), now: 4)
    #expect(stream.refusals.isEmpty)
    let subscription = try #require(stream.subscriptions[.listener])
    #expect(subscription.acknowledgedVersion == response.versionInfo && subscription.acknowledgedAt == 4)
    #expect(subscription.held.keys.sorted() == ["outbound:15001"] && subscription.refusals == 1)
  }
}
