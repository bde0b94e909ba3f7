import NetTypes
import Testing

@Suite struct AddressTextTests {
  @Test("dotted quads are read and written, everything else is refused")
  func ipv4() {
    #expect(IPv4Address("192.0.2.1") == IPv4Address(192, 0, 2, 1))
    #expect(IPv4Address(255, 255, 255, 255).description == "255.255.255.255")
    for bad in ["", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1..2.3", "1.2.3.4 ", "a.b.c.d", "1.2.3."] {
      #expect(IPv4Address(bad) == nil, "\(bad)")
    }
  }

  @Test(
    "IPv6 text follows RFC 5952 both ways",
    arguments: [
      ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("::", "::"), ("::1", "::1"), ("1::", "1::"),
      ("2001:DB8::A", "2001:db8::a"), ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
      ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
      ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("0:0:1::", "0:0:1::"), ("fe80::1:2", "fe80::1:2"),
    ])
  func ipv6(text: String, canonical: String) throws {
    #expect(try #require(IPv6Address(text)).description == canonical)
  }

  @Test("broken IPv6 text is refused")
  func brokenIPv6() {
    for bad in [
      "", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "g::", "1:", ":1", "1.2.3.4::",
      "::1%eth0", "1:2:3:4:5:6:7::8",
    ] {
      #expect(IPv6Address(bad) == nil, "\(bad)")
    }
  }

  @Test("bytes are network order and survive the way back")
  func bytes() throws {
    for text in ["10.1.2.3", "2001:db8:1:2:3:4:5:6"] {
      let address = try #require(IPAddress(text))
      #expect(IPAddress(bytes: address.bytes) == address)
    }
    #expect(IPAddress("10.1.2.3")?.bytes == [10, 1, 2, 3])
    #expect(IPAddress(bytes: [1, 2, 3]) == nil)
  }
}

@Suite struct PrefixTests {
  @Test("a prefix has no host bits; an interface address may")
  func hostBits() throws {
    #expect(IPPrefix("10.0.0.0/8") != nil)
    #expect(IPPrefix("10.0.0.1/8") == nil)
    #expect(try #require(InterfaceAddress("10.0.0.1/8")).prefix == IPPrefix("10.0.0.0/8"))
    for bad in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "::/129", "10.0.0.0/", "/8"] {
      #expect(IPPrefix(bad) == nil, "\(bad)")
    }
  }

  @Test("containment follows the bits, at every length")
  func containment() throws {
    let six = try #require(IPAddress("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"))
    for length in 0...128 {
      let prefix = try #require(IPPrefix(six, length: length))
      #expect(prefix.contains(six))
      #expect(IPPrefix(prefix.description) == prefix)
    }
    #expect(try #require(IPPrefix("10.0.0.0/9")).contains(try #require(IPAddress("10.128.0.0"))) == false)
    #expect(try #require(IPPrefix("0.0.0.0/0")).contains(six) == false)
  }
}

@Suite struct NumberTests {
  @Test("AS numbers are read plain and dotted")
  func asNumbers() {
    #expect(ASNumber(text: "64512.10") == ASNumber(64512 << 16 | 10))
    #expect(ASNumber(text: "4294967295") == ASNumber(.max))
    for bad in ["", "-1", "4294967296", "1.65536", "1.2.3", "+5", "AS1", "."] {
      #expect(ASNumber(text: bad) == nil, "\(bad)")
    }
    #expect(ASNumber(64512).isPrivate && !ASNumber(64511).isPrivate && ASNumber(23456).isReserved)
  }

  @Test("MAC addresses and interface names")
  func links() {
    #expect(MACAddress(bytes: [2, 0, 0, 0, 10, 255])?.description == "02:00:00:00:0a:ff")
    #expect(InterfaceName("eth0") != nil)
    for bad in ["", ".", "..", "a/b", "a b", "sixteen-letters-", "a:b"] { #expect(InterfaceName(bad) == nil, "\(bad)") }
  }
}
