import CPcap

/// Who wrote a pcapng section and on what.
public struct PcapngSection: Sendable {
  public var hardware: String
  public var os: String
  public var application: String
  public var comment: String

  /// With the hardware and kernel of this machine.
  public init(application: String, comment: String = "") {
    var system = [UInt8](repeating: 0, count: 256)
    var machine = [UInt8](repeating: 0, count: 80)
    netloom_kernel_names(&system, system.count, &machine, machine.count)
    os = String(decoding: system.prefix { $0 != 0 }, as: UTF8.self)
    hardware = String(decoding: machine.prefix { $0 != 0 }, as: UTF8.self)
    self.application = application
    self.comment = comment
  }
}
