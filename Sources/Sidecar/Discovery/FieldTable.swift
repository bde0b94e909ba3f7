/// Which fields of which messages a sidecar reads: the field's number and its name in the published protos.
enum FieldTable {
  typealias Row = [Int: String]

  /// By the full name of the message. One without a row may have no fields set at all.
  static let rows: [String: Row] = {
    var rows: [String: Row] = [:]
    for (package, messages) in packages {
      for (message, row) in messages { rows["envoy.\(package).\(message)"] = row }
    }
    return rows
  }()

  private static let packages: [(String, [(String, Row)])] = [
    ("config.core.v3", core), ("config.listener.v3", listener), ("config.route.v3", route),
    ("config.cluster.v3", cluster), ("config.endpoint.v3", endpoint), ("config.rbac.v3", rbac), ("type.v3", values),
    ("type.matcher.v3", matchers), ("extensions.transport_sockets.tls.v3", tls),
    ("extensions.filters.network.http_connection_manager.v3", connectionManager),
    ("extensions.filters.network.tcp_proxy.v3", proxy),
    ("extensions.filters.network.rbac.v3", [("RBAC", [1: "rules", 3: "stat_prefix"])]),
    ("extensions.filters.http.rbac.v3", [("RBAC", [1: "rules"])]),
    ("extensions.filters.http.fault.v3", fault),
    ("extensions.filters.common.fault.v3", [("FaultDelay", [3: "fixed_delay", 4: "percentage"])]),
    ("extensions.filters.http.local_ratelimit.v3", rateLimit), ("extensions.upstreams.http.v3", upstream),
  ]

  private static let core: [(String, Row)] = [
    ("Locality", [1: "region", 2: "zone", 3: "sub_zone"]),
    ("Metadata", [1: "filter_metadata"]),
    ("HeaderValue", [1: "key", 2: "value"]),
    ("HeaderValueOption", [1: "header", 3: "append_action"]),
    ("DataSource", [2: "inline_bytes", 3: "inline_string"]),
    ("TransportSocket", [1: "name", 3: "typed_config"]),
    ("RuntimeFractionalPercent", [1: "default_value"]),
    ("SocketAddress", [2: "address", 3: "port_value", 6: "ipv4_compat"]),
    ("Address", [1: "socket_address"]),
    ("CidrRange", [1: "address_prefix", 2: "prefix_len"]),
    ("ConfigSource", [3: "ads", 6: "resource_api_version"]),
  ]

  private static let listener: [(String, Row)] = [
    (
      "Listener",
      [
        1: "name", 2: "address", 3: "filter_chains", 9: "listener_filters", 16: "traffic_direction",
        25: "default_filter_chain",
      ]
    ),
    ("Filter", [1: "name", 4: "typed_config"]),
    ("FilterChainMatch", [3: "prefix_ranges", 8: "destination_port", 9: "transport_protocol"]),
    ("FilterChain", [1: "filter_chain_match", 3: "filters", 6: "transport_socket", 7: "name"]),
    ("ListenerFilter", [1: "name", 3: "typed_config"]),
  ]

  private static let route: [(String, Row)] = [
    ("RouteConfiguration", [1: "name", 2: "virtual_hosts"]),
    ("VirtualHost", [1: "name", 2: "domains", 3: "routes"]),
    (
      "Route",
      [
        1: "match", 2: "route", 3: "redirect", 7: "direct_response", 9: "request_headers_to_add",
        10: "response_headers_to_add", 11: "response_headers_to_remove", 12: "request_headers_to_remove", 14: "name",
      ]
    ),
    (
      "RouteMatch",
      [
        1: "prefix", 2: "path", 6: "headers", 7: "query_parameters", 10: "safe_regex", 14: "path_separated_prefix",
      ]
    ),
    ("HeaderMatcher", [1: "name", 7: "present_match", 13: "string_match"]),
    ("QueryParameterMatcher", [1: "name", 5: "string_match", 6: "present_match"]),
    (
      "RouteAction",
      [
        1: "cluster", 3: "weighted_clusters", 5: "prefix_rewrite", 6: "host_rewrite_literal", 8: "timeout",
        9: "retry_policy", 15: "hash_policy", 30: "request_mirror_policies", 32: "regex_rewrite",
      ]
    ),
    ("RouteAction.HashPolicy", [1: "header", 3: "connection_properties"]),
    ("RouteAction.HashPolicy.Header", [1: "header_name"]),
    ("RouteAction.HashPolicy.ConnectionProperties", [1: "source_ip"]),
    ("RouteAction.RequestMirrorPolicy", [1: "cluster", 3: "runtime_fraction"]),
    ("WeightedCluster", [1: "clusters"]),
    (
      "WeightedCluster.ClusterWeight",
      [
        1: "name", 2: "weight", 4: "request_headers_to_add", 5: "response_headers_to_add",
        6: "response_headers_to_remove", 9: "request_headers_to_remove",
      ]
    ),
    (
      "RetryPolicy",
      [1: "retry_on", 2: "num_retries", 3: "per_try_timeout", 7: "retriable_status_codes", 8: "retry_back_off"]
    ),
    ("RetryPolicy.RetryBackOff", [1: "base_interval", 2: "max_interval"]),
    (
      "RedirectAction",
      [
        1: "host_redirect", 2: "path_redirect", 3: "response_code", 4: "https_redirect", 5: "prefix_rewrite",
        7: "scheme_redirect", 8: "port_redirect", 9: "regex_rewrite",
      ]
    ),
    ("DirectResponseAction", [1: "status"]),
  ]

  private static let cluster: [(String, Row)] = [
    (
      "Cluster",
      [
        1: "name", 2: "type", 3: "eds_cluster_config", 4: "connect_timeout", 6: "lb_policy", 10: "circuit_breakers",
        19: "outlier_detection", 24: "transport_socket", 25: "metadata", 33: "load_assignment",
        36: "typed_extension_protocol_options",
        43: "transport_socket_matches",
      ]
    ),
    ("Cluster.TransportSocketMatch", [1: "name", 2: "match", 3: "transport_socket"]),
    ("Cluster.EdsClusterConfig", [1: "eds_config", 2: "service_name"]),
    ("CircuitBreakers", [1: "thresholds"]),
    (
      "CircuitBreakers.Thresholds",
      [2: "max_connections", 3: "max_pending_requests", 4: "max_requests", 8: "retry_budget"]
    ),
    ("CircuitBreakers.Thresholds.RetryBudget", [1: "budget_percent", 2: "min_retry_concurrency"]),
    (
      "OutlierDetection",
      [
        1: "consecutive_5xx", 2: "interval", 3: "base_ejection_time", 4: "max_ejection_percent",
        5: "enforcing_consecutive_5xx", 6: "enforcing_success_rate", 10: "consecutive_gateway_failure",
        11: "enforcing_consecutive_gateway_failure",
      ]
    ),
  ]

  private static let endpoint: [(String, Row)] = [
    ("ClusterLoadAssignment", [1: "cluster_name", 2: "endpoints"]),
    ("Endpoint", [1: "address"]),
    ("LbEndpoint", [1: "endpoint", 2: "health_status", 3: "metadata", 4: "load_balancing_weight"]),
    ("LocalityLbEndpoints", [1: "locality", 2: "lb_endpoints", 3: "load_balancing_weight", 5: "priority"]),
  ]

  private static let rbac: [(String, Row)] = [
    ("RBAC", [1: "action", 2: "policies"]),
    ("Policy", [1: "permissions", 2: "principals"]),
    ("Permission", [3: "any"]),
    ("Principal", [3: "any", 4: "authenticated"]),
    ("Principal.Authenticated", [2: "principal_name"]),
  ]

  private static let values: [(String, Row)] = [
    ("Percent", [1: "value"]),
    ("FractionalPercent", [1: "numerator", 2: "denominator"]),
    ("TokenBucket", [1: "max_tokens", 2: "tokens_per_fill", 3: "fill_interval"]),
  ]

  private static let matchers: [(String, Row)] = [
    ("RegexMatcher", [2: "regex"]),
    ("RegexMatchAndSubstitute", [1: "pattern", 2: "substitution"]),
    ("StringMatcher", [1: "exact", 5: "safe_regex"]),
  ]

  private static let tls: [(String, Row)] = [
    ("TlsParameters", [1: "tls_minimum_protocol_version", 2: "tls_maximum_protocol_version"]),
    ("TlsCertificate", [1: "certificate_chain", 2: "private_key"]),
    ("SubjectAltNameMatcher", [1: "san_type", 2: "matcher"]),
    ("CertificateValidationContext", [1: "trusted_ca", 15: "match_typed_subject_alt_names"]),
    ("SdsSecretConfig", [1: "name", 2: "sds_config"]),
    ("Secret", [1: "name", 2: "tls_certificate", 4: "validation_context"]),
    ("UpstreamTlsContext", [1: "common_tls_context", 2: "sni"]),
    ("DownstreamTlsContext", [1: "common_tls_context", 2: "require_client_certificate"]),
    (
      "CommonTlsContext.CombinedCertificateValidationContext",
      [1: "default_validation_context", 2: "validation_context_sds_secret_config"]
    ),
    (
      "CommonTlsContext",
      [
        1: "tls_params", 4: "alpn_protocols", 6: "tls_certificate_sds_secret_configs",
        7: "validation_context_sds_secret_config", 8: "combined_validation_context",
      ]
    ),
  ]

  private static let connectionManager: [(String, Row)] = [
    (
      "HttpConnectionManager",
      [
        1: "codec_type", 2: "stat_prefix", 3: "rds", 4: "route_config", 5: "http_filters", 23: "upgrade_configs",
        24: "stream_idle_timeout",
      ]
    ),
    ("HttpConnectionManager.UpgradeConfig", [1: "upgrade_type"]),
    ("Rds", [1: "config_source", 2: "route_config_name"]),
    ("HttpFilter", [1: "name", 4: "typed_config"]),
  ]

  private static let proxy: [(String, Row)] = [
    ("TcpProxy", [1: "stat_prefix", 2: "cluster", 10: "weighted_clusters"]),
    ("TcpProxy.WeightedCluster", [1: "clusters"]),
    ("TcpProxy.WeightedCluster.ClusterWeight", [1: "name", 2: "weight"]),
  ]

  private static let fault: [(String, Row)] = [
    ("HTTPFault", [1: "delay", 2: "abort"]),
    ("FaultAbort", [2: "http_status", 3: "percentage"]),
  ]

  private static let rateLimit: [(String, Row)] = [
    ("LocalRateLimit", [1: "stat_prefix", 3: "token_bucket", 4: "filter_enabled", 5: "filter_enforced"])
  ]

  private static let upstream: [(String, Row)] = [
    ("HttpProtocolOptions", [3: "explicit_http_config"]),
    ("HttpProtocolOptions.ExplicitHttpConfig", [1: "http_protocol_options", 2: "http2_protocol_options"]),
  ]
}
