import Foundation
import SwiftProtobuf
import Testing
import XDS

@testable import Sidecar

/// What a sidecar does not do is refused, with its place; nothing is passed over.
struct RefusalTests {
  private func refusal(_ resource: some Message, _ kind: ResourceKind) -> String {
    var store = ResourceStore()
    do {
      try store.take([Lowered.pack(resource)], kind)
      return "taken"
    } catch {
      return error.description
    }
  }

  private func lowered(_ pod: String = "web-a") throws -> Lowered { try Lowered(Sample.model(), pod: pod) }

  @Test func listeners() throws {
    let outbound = try lowered().listeners[0]
    let inbound = try lowered().listeners[1]
    #expect(refusal(outbound, .listener) == "taken")
    func check(_ base: EnvoyListener, _ wanted: String, _ change: (inout EnvoyListener) throws -> Void) rethrows {
      var listener = base
      try change(&listener)
      #expect(refusal(listener, .listener) == "listener \(base.name): \(wanted)")
    }
    check(outbound, "field 26: is not supported") { $0.bindToPort.value = false }
    check(outbound, "listener_filters: must have original_dst") { $0.listenerFilters = [] }
    check(outbound, "traffic_direction: must be INBOUND or OUTBOUND") { $0.trafficDirection = .unspecified }
    check(outbound, "filter_chains[0].filter_chain_match.field 11: is not supported") {
      $0.filterChains[0].filterChainMatch.serverNames = ["web"]
    }
    check(
      outbound,
      "filter_chains[0].filter_chain_match.prefix_ranges[0].prefix_len: must be 32: only single addresses are supported"
    ) { $0.filterChains[0].filterChainMatch.prefixRanges[0].prefixLen.value = 24 }
    check(outbound, "filter_chains[1].filter_chain_match: 10.254.0.1:80 is another chain's too") {
      $0.filterChains[1].filterChainMatch = $0.filterChains[0].filterChainMatch
    }
    check(outbound, "filter_chains[0].filters[0].typed_config: google.protobuf.Duration is not supported") {
      $0.filterChains[0].filters[0].typedConfig = Lowered.pack(Google_Protobuf_Duration(seconds: 1))
    }
    check(
      inbound,
      "filter_chains[0].transport_socket.typed_config.require_client_certificate: must be true: TLS is mutual here"
    ) {
      $0.filterChains[0].transportSocket.typedConfig = Lowered.pack(EnvoyDownstreamTlsContext())
    }
    let manager = "filter_chains[0].filters[0].typed_config"
    try check(inbound, "\(manager).http_filters[0].typed_config: google.protobuf.Duration is not supported") {
      try change(&$0) { $0.httpFilters[0].typedConfig = Lowered.pack(Google_Protobuf_Duration(seconds: 1)) }
    }
    try check(inbound, "\(manager).codec_type: must be HTTP1 or HTTP2: nothing is guessed") {
      try change(&$0) { $0.codecType = .auto }
    }
    try check(inbound, "\(manager).field 28: is not supported") {
      try change(&$0) { $0.requestTimeout.seconds = 1 }
    }
    try check(inbound, "\(manager).http_filters: must end with the router") {
      try change(&$0) { $0.httpFilters.removeLast() }
    }
    try check(
      inbound,
      "\(manager).route_config.virtual_hosts[0].routes[0]: must be for everything, without changes and limits"
    ) { try change(&$0) { $0.routeConfig.virtualHosts[0].routes[0].match.path = "/only" } }
  }

  private func change(_ listener: inout EnvoyListener, _ body: (inout EnvoyHttpConnectionManager) -> Void) throws {
    var manager = try EnvoyHttpConnectionManager(
      serializedBytes: listener.filterChains[0].filters[0].typedConfig.value)
    body(&manager)
    listener.filterChains[0].filters[0].typedConfig = Lowered.pack(manager)
  }

  @Test func clusters() throws {
    let base = try lowered().clusters[0]
    #expect(refusal(base, .cluster) == "taken")
    func check(_ wanted: String, _ change: (inout EnvoyCluster) throws -> Void) rethrows {
      var cluster = base
      try change(&cluster)
      #expect(refusal(cluster, .cluster) == "cluster web: \(wanted)")
    }
    check("lb_policy: maglev is not supported") { $0.lbPolicy = .maglev }
    check("type: strictDns is not supported") { $0.type = .strictDns }
    check("connect_timeout: must be between nothing and a day") { $0.connectTimeout.seconds = -1 }
    check("circuit_breakers.thresholds[0].field 5: is not supported") {
      $0.circuitBreakers.thresholds[0].maxRetries.value = 3
    }
    check("outlier_detection.enforcing_success_rate: must be 0: success rates are not compared") {
      $0.outlierDetection.clearEnforcingSuccessRate()
    }
    check("transport_socket_matches[0].match: must be \"tls\": true") {
      $0.transportSocketMatches[0].match.fields["more"] = Google_Protobuf_Value(boolValue: true)
    }
    check("field 23: is not supported") { $0.ringHashLbConfig.minimumRingSize.value = 1024 }
    // A field of which this version has never heard: number 9999, a varint.
    try check("field 9999: is not supported") {
      $0 = try EnvoyCluster(serializedBytes: Array(try $0.serializedBytes() as [UInt8]) + [0xF8, 0xF0, 0x04, 0x01])
    }
  }

  @Test func endpoints() throws {
    let base = try lowered().endpoints[0]
    func check(_ wanted: String, _ change: (inout EnvoyClusterLoadAssignment) -> Void) {
      var assignment = base
      change(&assignment)
      #expect(refusal(assignment, .endpoints) == "endpoints \(base.clusterName): \(wanted)")
    }
    let first = "endpoints[0].lb_endpoints[0]"
    check("\(first).endpoint.address.field 2: is not supported") {
      $0.endpoints[0].lbEndpoints[0].endpoint.address.pipe.path = "/tmp/x"
    }
    check("\(first).endpoint.address.socket_address.address: web.example is no address") {
      $0.endpoints[0].lbEndpoints[0].endpoint.address.socketAddress.address = "web.example"
    }
    check("\(first).endpoint.address.socket_address.port_value: 70000 is no port") {
      $0.endpoints[0].lbEndpoints[0].endpoint.address.socketAddress.portValue = 70000
    }
    check("endpoints: priorities must be 0, 1, 2… without a gap") { $0.endpoints[0].priority = 5 }
    check("field 4: is not supported") { $0.policy.overprovisioningFactor.value = 1 }
  }

  @Test func routes() throws {
    let base = try lowered().routes[0]
    #expect(refusal(base, .routes) == "taken")
    func check(_ wanted: String, _ change: (inout EnvoyRoute) -> Void) {
      var configuration = base
      change(&configuration.virtualHosts[0].routes[0])
      #expect(refusal(configuration, .routes) == "routes web: virtual_hosts[0].routes[0]\(wanted)")
    }
    check(".match.field 9: is not supported") { $0.match.runtimeFraction.defaultValue.numerator = 1 }
    check(".match.headers[0].field 8: is not supported") { route in
      var header = EnvoyHeaderMatcher()
      header.name = "x"
      header.invertMatch = true
      header.presentMatch = true
      route.match.headers = [header]
    }
    check(".match.headers[0].string_match.field 2: is not supported") { route in
      var header = EnvoyHeaderMatcher()
      header.name = "x"
      header.stringMatch.prefix = "a"
      route.match.headers = [header]
    }
    check(".route.hash_policy[0]: must be header or connection_properties") {
      $0.route.hashPolicy = [EnvoyRouteAction.HashPolicy()]
    }
    check(".route.retry_policy.retry_on: 5xx is not supported") { $0.route.retryPolicy.retryOn = "connect-failure,5xx" }
    check(".route.regex_rewrite.pattern.regex: ^/(.*)$ is not supported") {
      $0.route.regexRewrite.pattern.regex = "^/(.*)$"
    }
    check(".request_headers_to_add[0].header.value: commands (%) are not supported") { route in
      var option = EnvoyHeaderValueOption()
      option.header.key = "x"
      option.header.value = "%REQ(:path)%"
      route.requestHeadersToAdd = [option]
    }
    check(".request_headers_to_remove[0]: a b is no field name") { $0.requestHeadersToRemove = ["a b"] }
    check(".direct_response.field 2: is not supported") { $0.directResponse.body.inlineString = "x" }
    check(": has no action") { $0.action = nil }
  }

  @Test func secrets() throws {
    let secrets = try lowered().secrets
    #expect(refusal(secrets[0], .secret) == "taken")
    var file = secrets[0]
    file.tlsCertificate.privateKey.filename = "/etc/shadow"
    #expect(refusal(file, .secret) == "secret identity: tls_certificate.private_key.field 1: is not supported")
    var empty = secrets[0]
    empty.tlsCertificate.clearPrivateKey()
    #expect(refusal(empty, .secret) == "secret identity: tls_certificate.private_key: is empty")
  }

  @Test func otherMessages() {
    #expect(
      refusal(EnvoyCluster(), .listener) == "resources[0]: is no envoy.config.listener.v3.Listener")
    var cluster = EnvoyCluster()
    cluster.type = .originalDst
    #expect(refusal(cluster, .cluster) == "cluster : name: is empty")
  }
}
