/// The files with which clients that are not ours find the control plane.
public enum XDSBootstrap {
  /// Envoy's configuration (JSON): the control plane, nothing else.
  /// - Parameters:
  ///   - socket: path of the control plane's unix socket, as the pod sees it.
  ///   - admin: port of the administration interface on 127.0.0.1.
  ///   - mark: SO_MARK of connections that Envoy opens, by which interception leaves them alone; nil: none, which a
  ///     process without CAP_NET_ADMIN needs.
  public static func envoy(
    pod: String, lab: String, socket: String, admin: UInt16 = SidecarPorts.administration,
    mark: UInt32? = SidecarPorts.mark
  ) -> String {
    let ads = #"{"ads": {}, "resource_api_version": "V3"}"#
    let manager =
      mark.map { mark in
        // SOL_SOCKET and SO_MARK of asm-generic/socket.h.
        """
        ,
          "cluster_manager": {"upstream_bind_config": {"socket_options":
            [{"level": 1, "name": 36, "int_value": \(mark), "state": "STATE_PREBIND"}]}}
        """
      } ?? ""
    return """
      {
        "node": {"id": \(quoted(pod)), "cluster": \(quoted(lab))},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": \(admin)}}},
        "dynamic_resources": {
          "ads_config": {"api_type": "GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
            "grpc_services": [{"envoy_grpc": {"cluster_name": "netloom-xds"}}]},
          "cds_config": \(ads), "lds_config": \(ads)},
        "static_resources": {"clusters": [{
          "name": "netloom-xds", "type": "STATIC", "connect_timeout": "5s",
          "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}},
          "load_assignment": {"cluster_name": "netloom-xds", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"pipe": {"path": \(quoted(socket))}}}}]}]}}]}\(manager)
      }

      """
  }

  /// The file that GRPC_XDS_BOOTSTRAP names (gRFC A27).
  /// - Parameter server: e.g. `unix:/run/netloom/xds.sock` or `127.0.0.1:15010`.
  public static func gRPC(pod: String, server: String) -> String {
    """
    {
      "xds_servers": [{"server_uri": \(quoted(server)), "channel_creds": [{"type": "insecure"}],
        "server_features": ["xds_v3"]}],
      "node": {"id": \(quoted(pod))}
    }

    """
  }

  /// A JSON string (RFC 8259 section 7).
  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\\(scalar)"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
