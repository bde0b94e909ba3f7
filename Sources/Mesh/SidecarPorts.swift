/// Ports of a pod's sidecar, the same in every pod, and the mark of what it sends itself (contract section 7).
public enum SidecarPorts {
  /// Its metrics and questions, on 127.0.0.1.
  public static let administration: UInt16 = 15000
  /// Where connections of the application are redirected to.
  public static let outbound: UInt16 = 15001
  /// Where connections to the application are redirected to.
  public static let inbound: UInt16 = 15006
  /// The control plane's xDS, on 127.0.0.1.
  public static let discovery: UInt16 = 15010

  public static let all: Set<UInt16> = [administration, outbound, inbound, discovery]

  /// SO_MARK of its own connections, by which interception leaves them alone.
  public static let mark: UInt32 = 0x4E4D
  /// SO_MARK of its connections to the pod's program under the client's address, which stay in the pod (TPROXY).
  public static let transparentMark: UInt32 = 0x4E54
}
