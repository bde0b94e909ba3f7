import NetTypes
import Netlink
import Testing

@testable import FIB

func ip(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }
func net(_ text: String) throws -> IPPrefix { try #require(IPPrefix(text)) }

@Suite struct UnderlayTests {
  @Test func `a next hop on a subnet is its own gateway, one behind a route has the route's`() throws {
    var underlay = Underlay()
    underlay.set(try net("10.0.0.0/31"), [.init(gateway: nil, link: 3)])
    underlay.set(try net("10.255.0.2/32"), [.init(gateway: try ip("10.0.0.1"), link: 3)])
    #expect(underlay.resolve(try ip("10.0.0.1")) == [.init(gateway: try ip("10.0.0.1"), link: 3)])
    #expect(underlay.resolve(try ip("10.255.0.2")) == [.init(gateway: try ip("10.0.0.1"), link: 3)])
    #expect(underlay.resolve(try ip("10.255.0.3")).isEmpty)
  }

  @Test func `a gateway without a link is followed, and a loop ends`() throws {
    var underlay = Underlay()
    underlay.set(try net("10.0.0.0/31"), [.init(gateway: nil, link: 3)])
    underlay.set(try net("192.0.2.0/24"), [.init(gateway: try ip("10.0.0.1"), link: nil)])
    underlay.set(try net("198.51.100.0/24"), [.init(gateway: try ip("198.51.100.7"), link: nil)])
    underlay.set(try net("203.0.113.0/25"), [.init(gateway: try ip("203.0.113.200"), link: nil)])
    underlay.set(try net("203.0.113.128/25"), [.init(gateway: try ip("203.0.113.1"), link: nil)])
    #expect(underlay.resolve(try ip("192.0.2.9")) == [.init(gateway: try ip("10.0.0.1"), link: 3)])
    #expect(underlay.resolve(try ip("198.51.100.7")).isEmpty)
    #expect(underlay.resolve(try ip("203.0.113.1")).isEmpty)
  }

  @Test func `the longest prefix decides, also when it refuses`() throws {
    var underlay = Underlay()
    underlay.set(try net("0.0.0.0/0"), [.init(gateway: try ip("10.0.0.1"), link: 3)])
    underlay.set(try net("10.1.0.0/16"), [])
    #expect(underlay.resolve(try ip("10.1.2.3")).isEmpty)
    #expect(underlay.resolve(try ip("10.2.2.3")) == [.init(gateway: try ip("10.0.0.1"), link: 3)])
    underlay.remove(try net("10.1.0.0/16"))
    #expect(!underlay.resolve(try ip("10.1.2.3")).isEmpty)
  }
}
