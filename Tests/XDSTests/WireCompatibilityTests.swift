import FoundationEssentials
import SwiftProtobuf
import Testing

@testable import XDS

/// Bytes that the published protos make (PyPI xds-protos 1.85.0, deterministic serialization) against the cut-down ones:
/// they decode to the same values, and the same values encode to the same bytes.
struct WireCompatibilityTests {
  private func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.utf8.map { UInt8($0 < 0x3A ? $0 - 0x30 : $0 - 0x57) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }

  private func encoded(_ message: some Message) throws -> [UInt8] {
    var options = BinaryEncodingOptions()
    options.useDeterministicOrdering = true
    return try message.serializedBytes(options: options)
  }

  @Test func aRequestKeepsWhatTheCutDownNodeDoesNotKnow() throws {
    let wire = bytes(
      "0a013712240a05706f642d3112036c616222090a07617336353030313205656e766f7942040a0208011a037765621a0264622201542a026e33"
        + "320708031203626164")
    let request = try EnvoyDiscoveryRequest(serializedBytes: wire)
    #expect(request.versionInfo == "7")
    #expect(request.resourceNames == ["web", "db"])
    #expect(request.typeURL == "T")
    #expect(request.responseNonce == "n3")
    #expect(request.node.id == "pod-1")
    #expect(request.node.cluster == "lab")
    #expect(request.node.userAgentName == "envoy")
    #expect(request.node.locality.region == "as65001")
    #expect(request.errorDetail.code == 3)
    #expect(request.errorDetail.message == "bad")
    // user_agent_build_version is not in the set; it survives all the same.
    #expect(try encoded(request).count == wire.count)
  }

  @Test func aCluster() throws {
    var cluster = EnvoyCluster()
    cluster.name = "web"
    cluster.type = .eds
    cluster.lbPolicy = .leastRequest
    cluster.connectTimeout = Google_Protobuf_Duration(seconds: 2, nanos: 500_000_000)
    cluster.edsClusterConfig.edsConfig.ads = EnvoyAggregatedConfigSource()
    cluster.edsClusterConfig.edsConfig.resourceApiVersion = .v3
    cluster.edsClusterConfig.serviceName = "web"
    var thresholds = EnvoyCircuitBreakers.Thresholds()
    thresholds.maxConnections = Google_Protobuf_UInt32Value(10)
    thresholds.retryBudget.budgetPercent.value = 20
    cluster.circuitBreakers.thresholds = [thresholds]
    cluster.outlierDetection.consecutive5Xx = Google_Protobuf_UInt32Value(5)
    cluster.outlierDetection.maxEjectionPercent = Google_Protobuf_UInt32Value(50)
    var match = EnvoyCluster.TransportSocketMatch()
    match.name = "tls"
    match.match.fields["tls"] = Google_Protobuf_Value(boolValue: true)
    cluster.transportSocketMatches = [match]
    #expect(
      try encoded(cluster)
        == bytes(
          "0a0377656210031a0b0a041a0030021203776562220808021080cab5ee01300152130a111202080a420b0a0909000000"
            + "00000034409a01080a02080522020832da02120a03746c73120b0a090a03746c7312022001"))
  }

  @Test func anAssignmentOfEndpoints() throws {
    let assignment = try EnvoyClusterLoadAssignment(
      serializedBytes: bytes(
        "0a0377656212280a090a076173363530303112150a110a0f0a0d120831302e302e302e3118903f10011a0208022801"))
    #expect(assignment.clusterName == "web")
    let locality = try #require(assignment.endpoints.first)
    #expect(locality.locality.region == "as65001")
    #expect(locality.priority == 1)
    #expect(locality.loadBalancingWeight.value == 2)
    let endpoint = try #require(locality.lbEndpoints.first)
    #expect(endpoint.healthStatus == .healthy)
    #expect(endpoint.endpoint.address.socketAddress.address == "10.0.0.1")
    #expect(endpoint.endpoint.address.socketAddress.portValue == 8080)
  }

  @Test func routes() throws {
    let routes = try EnvoyRouteConfiguration(
      serializedBytes: bytes(
        "0a0377656212620a0377656212012a1a490a0e32080a01786a030a013172022f61122b1a0e0a0c0a067765622d763112020850420808011080"
          + "cab5ee014a0f0a057265736574120208023a02f7034a0a0a060a016b12017618021a0d0a030a012f1a0612022f7a1803"))
    #expect(routes.virtualHosts.first?.domains == ["*"])
    let both = try #require(routes.virtualHosts.first?.routes)
    #expect(both.count == 2)
    #expect(both[0].match.pathSeparatedPrefix == "/a")
    #expect(both[0].match.headers.first?.stringMatch.exact == "1")
    #expect(both[0].route.weightedClusters.clusters.first?.name == "web-v1")
    #expect(both[0].route.weightedClusters.clusters.first?.weight.value == 80)
    #expect(both[0].route.timeout == Google_Protobuf_Duration(seconds: 1, nanos: 500_000_000))
    #expect(both[0].route.retryPolicy.retryOn == "reset")
    #expect(both[0].route.retryPolicy.retriableStatusCodes == [503])
    #expect(both[0].requestHeadersToAdd.first?.appendAction == .overwriteIfExistsOrAdd)
    #expect(both[1].redirect.pathRedirect == "/z")
    #expect(both[1].redirect.responseCode == .temporaryRedirect)
  }

  @Test func secretsAndTLSContexts() throws {
    let secret = try EnvoySecret(serializedBytes: bytes("0a086964656e7469747912100a071205434841494e120512034b4559"))
    #expect(secret.name == "identity")
    #expect(secret.tlsCertificate.certificateChain.inlineBytes == Data("CHAIN".utf8))
    #expect(secret.tlsCertificate.privateKey.inlineBytes == Data("KEY".utf8))
    let context = try EnvoyUpstreamTlsContext(
      serializedBytes: bytes(
        "0a2b0a0208042202683242210a167a14080312100a0e7370696666653a2f2f6c61622f7812070a05726f6f7473"))
    #expect(context.commonTlsContext.alpnProtocols == ["h2"])
    #expect(context.commonTlsContext.tlsParams.tlsMinimumProtocolVersion == .tlsv13)
    let combined = context.commonTlsContext.combinedValidationContext
    #expect(combined.validationContextSdsSecretConfig.name == "roots")
    let matcher = try #require(combined.defaultValidationContext.matchTypedSubjectAltNames.first)
    #expect(matcher.sanType == .uri)
    #expect(matcher.matcher.exact == "spiffe://lab/x")
  }
}
