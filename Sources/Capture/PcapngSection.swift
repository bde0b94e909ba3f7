import CPcap

/// Who wrote a pcapng section and on what.
public struct PcapngSection: Sendable {
  public var hardware: String
  public var os: String
  public var application: String
  public var comment: String

  /// With the hardware and kernel of this machine.
  public init(application: String, comment: String = "") {
    var system = [CChar](repeating: 0, count: 256)
    var machine = [CChar](repeating: 0, count: 80)
    netloom_kernel_names(&system, system.count, &machine, machine.count)
    os = text(system)
    hardware = text(machine)
    self.application = application
    self.comment = comment
  }
}
