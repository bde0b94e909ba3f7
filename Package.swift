// swift-tools-version: 6.2
// Modules and their layers are drawn in ARCHITECTURE.md. A target may import only what it lists here:
// every build runs with `--explicit-target-dependency-import-check error`.
import PackageDescription

let strict: [SwiftSetting] =
  [
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
    // The compiler's own Glibc module and CLinux must agree on what libc declares: CLinux needs _GNU_SOURCE, so both have it.
    .unsafeFlags(["-Xcc", "-D_GNU_SOURCE"]),
  ] + (Context.environment["NETLOOM_WERROR"] == nil ? [] : [.treatAllWarnings(as: .error)])

/// Modules that handle every byte of a full table: tables own raw buffers, so the dynamic exclusivity
/// checks guard nothing that the ownership rules do not. Preconditions stay.
let hot: [SwiftSetting] =
  strict + [
    .enableExperimentalFeature("Lifetimes"),
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
  ]

let protobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let nioCore: [Target.Dependency] = [
  .product(name: "NIOCore", package: "swift-nio"),
  .product(name: "NIOPosix", package: "swift-nio"),
]

func module(
  _ name: String, _ dependencies: [Target.Dependency] = [], settings: [SwiftSetting] = strict
) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

/// SwiftPM looks for tests of XCTest in an index of the sources, and fails where a file of a test is missing. The builds of
/// scripts/build index the tests alone: an index of everything takes a fifth of their time.
let index: [SwiftSetting] =
  Context.environment["NETLOOM_TEST_INDEX"].map { [.unsafeFlags(["-index-store-path", $0])] } ?? []

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource]? = nil) -> Target {
  .testTarget(name: name, dependencies: dependencies, resources: resources, swiftSettings: strict + index)
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

let package = Package(
  name: "netloom",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "netloom", targets: ["netloom"]),
    .executable(name: "netloom-machine", targets: ["netloom-machine"]),
    .executable(name: "netloom-controller", targets: ["netloom-controller"]),
    .executable(name: "netloom-node", targets: ["netloom-node"]),
    .executable(name: "netloom-probe", targets: ["netloom-probe"]),
    .executable(name: "netloom-sidecar", targets: ["netloom-sidecar"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    // Neither of its traits is used here, and what they pull in takes as long to build as it does itself.
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // Layer 0
    .target(name: "CLinux", linkerSettings: [.linkedLibrary("mnl"), .linkedLibrary("nftnl")]),
    .target(name: "CPcap", linkerSettings: [.linkedLibrary("pcap")]),
    .target(name: "CSQLite", linkerSettings: [.linkedLibrary("sqlite3")]),
    .target(name: "COpenSSL", linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
    .target(name: "CNGHTTP2", linkerSettings: [.linkedLibrary("nghttp2")]),
    module("NetTypes", settings: hot),
    // Layer 1
    module("BGPWire", ["NetTypes"], settings: hot),
    module("EventLoop", ["CLinux"]),
    module("Netlink", ["NetTypes", "CLinux"]),
    module("Nftables", ["NetTypes", "Netlink", "CLinux"]),
    module("Capture", ["NetTypes", "CPcap", "CLinux"], settings: hot),
    module("Mesh", ["NetTypes"]),
    module("Topology", ["NetTypes", "Mesh", .product(name: "Yams", package: "Yams")]),
    .target(
      name: "ControlProtocol", dependencies: [protobuf], exclude: ["control.proto"], swiftSettings: strict),
    module("NorthboundAPI"),
    module("ContainerlabImport", ["NetTypes", "Topology", .product(name: "Yams", package: "Yams")]),
    module("TLS", ["COpenSSL", "CLinux"], settings: hot),
    module("HTTP1", settings: hot),
    module("HTTP2", ["CNGHTTP2"], settings: hot),
    .target(name: "XDS", dependencies: [protobuf], exclude: ["protos"], swiftSettings: strict),
    module("SQLite", ["CSQLite"]),
    // Layer 2
    module("Relay", ["EventLoop", "CLinux"], settings: hot),
    module("BGPCore", ["NetTypes", "BGPWire"], settings: hot),
    module("FIB", ["NetTypes", "Netlink", "CLinux"], settings: hot),
    module("PathProof", ["NetTypes", "Capture"]),
    module("Images", ["NetTypes", "EventLoop", "CLinux"]),
    module("Intent", ["NetTypes", "Topology", "Mesh", "ControlProtocol", protobuf]),
    module("NorthboundClient", ["NorthboundAPI", .product(name: "NIOHTTP1", package: "swift-nio")] + nioCore),
    // Layer 3
    module("BGPSpeaker", ["NetTypes", "BGPWire", "BGPCore", "EventLoop", "CLinux"], settings: hot),
    module(
      "Machine",
      ["NetTypes", "Netlink", "Mesh", "ControlProtocol", "EventLoop", "HTTP1", "Relay", "CLinux", protobuf]),
    module(
      "Probe",
      [
        "NetTypes", "Capture", "PathProof", "Netlink", "Nftables", "ControlProtocol", "EventLoop", "CLinux", protobuf,
      ]),
    module(
      "Controller",
      [
        "NetTypes", "Topology", "Intent", "Mesh", "MeshControl", "TLS", "EventLoop", "ControlProtocol", "NorthboundAPI",
        "SQLite", logging, protobuf,
      ] + nioCore),
    module(
      "MeshControl", ["Mesh", "XDS", "TLS", "HTTP2", "EventLoop", "CLinux", "NetTypes", protobuf]),
    module(
      "Sidecar", ["NetTypes", "Mesh", "TLS", "HTTP1", "HTTP2", "XDS", "EventLoop", "CLinux", protobuf], settings: hot),
    // Layer 4
    module(
      "NodeAgent",
      [
        "NetTypes", "ControlProtocol", "BGPWire", "BGPCore", "BGPSpeaker", "FIB", "Netlink", "Nftables",
        "EventLoop", "CLinux", protobuf,
      ]),
    .target(
      name: "Northbound",
      dependencies: [
        "Controller", "NorthboundAPI", logging, .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
      ]
        + nioCore, exclude: ["openapi.yaml"], swiftSettings: strict),
    module(
      "Lab",
      [
        "NetTypes", "EventLoop", "Topology", "Intent", "ControlProtocol", "NorthboundAPI", "NorthboundClient", "Images",
        "CLinux", protobuf,
      ]),
    // Layer 5
    module("Scenario", ["NetTypes", "Topology", "NorthboundAPI", "NorthboundClient", "Lab"]),
    // Layer 6
    module("Reports", ["NetTypes", "Topology", "NorthboundAPI", "Scenario"]),
    module(
      "Delivery",
      [
        "NetTypes", "Topology", "NorthboundAPI", "NorthboundClient", "Lab", "Scenario", "Images", "SQLite", "HTTP1",
        "EventLoop", "COpenSSL", "CLinux",
      ]),
    // Layer 7: programs
    program(
      "netloom",
      [
        "NetTypes", "Topology", "Intent", "ControlProtocol", "NorthboundAPI", "NorthboundClient", "Lab", "Scenario",
        "Reports", "Delivery", "Images", "ContainerlabImport", "CLinux",
        arguments, protobuf,
      ]),
    program("netloom-machine", ["Machine"]),
    program("netloom-controller", ["Controller", "Northbound", logging]),
    program("netloom-node", ["NodeAgent"]),
    program("netloom-probe", ["Probe"]),
    program("netloom-sidecar", ["Sidecar"]),
    // Tests
    tests("TLSTests", ["TLS", "EventLoop", "CLinux"]),
    tests("HTTP1Tests", ["HTTP1"]),
    tests("HTTP2Tests", ["HTTP2", "EventLoop", "CLinux"]),
    tests("XDSTests", ["XDS", protobuf]),
    tests(
      "MeshControlTests",
      ["MeshControl", "Mesh", "XDS", "TLS", "HTTP2", "EventLoop", "NetTypes", "CLinux", protobuf]),
    tests("SidecarTests", ["Sidecar", "HTTP1", "HTTP2", "TLS", "EventLoop", "NetTypes", "CLinux"]),
    tests(
      "SidecarDiscoveryTests",
      [
        "Sidecar", "Mesh", "MeshControl", "XDS", "TLS", "HTTP1", "HTTP2", "EventLoop", "NetTypes", "CLinux", protobuf,
      ]),
    tests("NetTypesTests", ["NetTypes"]),
    tests("BGPWireTests", ["BGPWire", "NetTypes"]),
    tests("BGPCoreTests", ["BGPCore", "BGPWire", "NetTypes"]),
    tests("BGPSpeakerTests", ["BGPSpeaker", "BGPCore", "BGPWire", "EventLoop", "NetTypes"]),
    tests("EventLoopTests", ["EventLoop", "CLinux"]),
    tests("NetlinkTests", ["Netlink", "NetTypes", "CLinux"]),
    tests("NftablesTests", ["Nftables", "Netlink", "NetTypes", "CLinux"]),
    tests("FIBTests", ["FIB", "Netlink", "NetTypes", "CLinux"]),
    tests("CaptureTests", ["Capture", "NetTypes"]),
    tests("PathProofTests", ["PathProof", "Capture", "NetTypes"]),
    tests("TopologyTests", ["Topology", "Mesh", "NetTypes"]),
    tests("ControlProtocolTests", ["ControlProtocol", protobuf]),
    tests("IntentTests", ["Intent", "Topology", "ControlProtocol", "NetTypes", protobuf]),
    tests("ImagesTests", ["Images", "NetTypes", "EventLoop"]),
    tests("MachineTests", ["Machine", "netloom-machine", "ControlProtocol", "EventLoop", "CLinux", protobuf]),
    tests(
      "NodeAgentTests",
      [
        "NodeAgent", "BGPCore", "BGPWire", "ControlProtocol", "EventLoop", "Netlink", "Nftables", "NetTypes", "CLinux",
        protobuf,
      ]),
    tests(
      "ProbeTests", ["Probe", "ControlProtocol", "Capture", "PathProof", "NetTypes", "EventLoop", "CLinux", protobuf]),
    tests(
      "ControllerTests",
      [
        "Controller", "Mesh", "NetTypes", "Intent", "Topology", "ControlProtocol", "NorthboundAPI", logging, protobuf,
      ] + nioCore),
    tests(
      "NorthboundTests",
      [
        "Northbound", "NorthboundClient", "Controller", "NorthboundAPI", "Topology", "Intent", "ControlProtocol",
        logging,
        protobuf,
      ] + nioCore),
    tests("RelayTests", ["Relay", "EventLoop", "Netlink", "NetTypes", "CLinux"]),
    tests(
      "DeliveryTests", ["Delivery", "Topology", "NorthboundAPI", "NorthboundClient", "Lab", "Images", "CLinux"]),
    tests("ReportsTests", ["Reports", "Scenario", "Topology", "NorthboundAPI"]),
    tests("ContainerlabImportTests", ["ContainerlabImport", "NetTypes", "Topology"]),
    tests("netloomTests", ["netloom", "NorthboundAPI", "Topology", "Lab", arguments]),
    tests("ScenarioTests", ["Scenario", "Lab", "Topology", "NorthboundAPI", "NorthboundClient"]),
    .testTarget(name: "SystemTests", exclude: ["Fixtures"], swiftSettings: strict + index),
  ],
  swiftLanguageModes: [.v6]
)

// Builds for a part of the tests, see scripts/test --sanitize: what only the others need is not built.
if let names = Context.environment["NETLOOM_TESTS_LEFT_OUT"]?.split(separator: " ") {
  package.targets.removeAll { target in names.contains { $0 == target.name } }
}
