import NetTypes
import Testing
import Topology

@Test func aSpeakerFileIsReadWhole() throws {
  let parsed = SpeakerFile.parse(
    text: """
      asn: 65001
      router-id: 192.0.2.1
      fib: true
      networks: [203.0.113.0/24, "2001:db8::/32"]
      timers: {hold: 30}
      policies:
        in: [{match: {prefix: ["10.0.0.0/8 le 24", 192.0.2.0/24], neighbor: up}, set: {prepend: 3, community: {add: no-export}}}]
        out: [{match: {as-path: "^65001_", large-community: "65001:*:2"}, set: {prepend: {asn: 65009, times: 2}}, then: accept}, {otherwise: reject}]
      neighbors:
        - {name: up, address: 192.0.2.2, asn: 65002, import: in, export: out, md5: secret, max-prefix: 10, timers: {hold: 0}}
        - {address: "2001:db8::2", asn: 65001, families: [ipv6], route-reflector-client: true, passive: true,
           graceful-restart: false, next-hop-self: false, port: 1179}
        - {address: 192.0.2.9, asn: 65003}
      """, file: "s.yaml")
  #expect(parsed.errors.isEmpty, "\(shown(parsed.errors))")
  #expect(parsed.warnings.map { "\($0.place)" } == ["s.yaml:13:5"])
  #expect(parsed.warnings.first?.message.contains("RFC 8212") == true)
  let speaker = try #require(parsed.value)
  #expect(speaker.asn == ASNumber(65001) && speaker.routerID == IPv4Address(192, 0, 2, 1) && speaker.fib)
  #expect(speaker.networks.map(\.description) == ["203.0.113.0/24", "2001:db8::/32"])
  #expect(speaker.neighbors.map(\.name) == ["up", "2001:db8::2", "192.0.2.9"])
  #expect(speaker.routeReflector && speaker.restartTime == 120 && speaker.listenPort == 179)
  let up = speaker.neighbors[0]
  #expect(up.families == [.ipv4, .ipv6] && up.settings.md5 == "secret" && up.settings.maxPrefix == 10)
  #expect(up.settings.timers == BGPTimers(keepalive: 0, hold: 0, connectMilliseconds: 1000))
  let client = speaker.neighbors[1].settings
  #expect(client.client && client.passive && client.gracefulRestart == 0 && !client.nextHopSelf && client.port == 1179)
  #expect(client.timers == BGPTimers(keepalive: 10, hold: 30, connectMilliseconds: 1000))
  let policy = speaker.policies[0].statements[0]
  #expect(policy.then == .next && policy.set?.prepend == PolicySet.Prepend(asn: nil, times: 3))
  #expect(policy.match?.prefixes.map { "\($0.prefix) \($0.ge) \($0.le)" } == ["10.0.0.0/8 8 24", "192.0.2.0/24 24 24"])
  #expect(policy.set?.communities?.add == [CommunityPattern(high: 65535, low: 65281)])
  let out = speaker.policies[1].statements[0]
  #expect(out.set?.prepend == PolicySet.Prepend(asn: ASNumber(65009), times: 2) && out.then == .accept)
  #expect(out.match?.largeCommunities == [LargeCommunityPattern(global: 65001, data1: nil, data2: 2)])
}

@Test func theSpeakerDefaultsAreThoseOfTheContract() throws {
  let parsed = SpeakerFile.parse(text: "asn: 1\nrouter-id: 1.1.1.1\n", file: "s.yaml")
  let speaker = try #require(parsed.value)
  #expect(!speaker.fib && speaker.neighbors.isEmpty && speaker.multipath == 1 && speaker.restartTime == 0)
}

private let brokenSpeakers: [Broken] = [
  Broken("no asn", "asn", "§router-id: 1.1.1.1\n"),
  Broken("a reserved asn", "AS_TRANS", "asn: §23456\nrouter-id: 1.1.1.1\n"),
  Broken("a router id that is no address", "IPv4", "asn: 1\nrouter-id: §router\n"),
  Broken("a lab's key", "unknown key `topology`", "asn: 1\nrouter-id: 1.1.1.1\n§topology: {}\n"),
  Broken(
    "an unknown key of a neighbor", "did you mean `passive`",
    "asn: 1\nrouter-id: 1.1.1.1\nneighbors:\n  - {address: 1.2.3.4, asn: 1, §pasive: true}\n"),
  Broken(
    "add-path", "not yet", "asn: 1\nrouter-id: 1.1.1.1\nneighbors:\n  - {address: 1.2.3.4, asn: 1, §add-path: true}\n"),
  Broken(
    "one address twice", "second neighbor",
    "asn: 1\nrouter-id: 1.1.1.1\nneighbors:\n  - {address: 1.2.3.4, asn: 1}\n  - §{address: 1.2.3.4, asn: 1}\n"),
  Broken(
    "a client in another AS", "eBGP",
    "asn: 1\nrouter-id: 1.1.1.1\nneighbors:\n  - {address: 1.2.3.4, asn: 2, import: accept, export: accept, route-reflector-client: §true}\n"
  ),
  Broken(
    "an address with a length", "no length",
    "asn: 1\nrouter-id: 1.1.1.1\nneighbors:\n  - {address: §1.2.3.4/24, asn: 1}\n"),
]

@Test(arguments: brokenSpeakers)
func aBrokenSpeakerFileIsRefusedAtItsPlace(_ broken: Broken) throws {
  let parsed = SpeakerFile.parse(text: broken.text, file: "s.yaml")
  #expect(parsed.value == nil && parsed.errors.count == 1, "\(shown(parsed.errors))")
  let error = try #require(parsed.errors.first)
  #expect("\(error.place.line):\(error.place.column)" == "\(broken.line):\(broken.column)", "\(shown(parsed.errors))")
  #expect(error.message.contains(broken.word), "\(shown(parsed.errors))")
}
