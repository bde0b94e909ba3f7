import Testing

@testable import Netlink

@Suite struct SysctlTests {
  @Test(arguments: [
    ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
    ("net.ipv4.conf.eth0/1.rp_filter", "/proc/sys/net/ipv4/conf/eth0.1/rp_filter"),
    ("net/ipv4/conf/eth0.1/rp_filter", "/proc/sys/net/ipv4/conf/eth0.1/rp_filter"),
  ])
  func `a name is split as sysctl(8) splits it`(name: String, path: String) {
    #expect(Sysctl.path(of: name) == path)
  }
}
