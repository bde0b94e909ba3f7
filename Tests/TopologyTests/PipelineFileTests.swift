import Foundation
import Testing

@testable import Topology

/// As the contract shows it.
let contractPipeline = """
  name: web
  source:   {repository: ., ref: main, path: ci/sample}
  build:    {run: "make build"}
  test:     {run: "make test", junit: report.xml}
  merge:    {into: main}
  package:  {image: web, files: {"bin/web": "/web"}, entrypoint: ["/web"]}
  tag:      commit
  push:     {registry: "registry:5000"}
  verify:   {topology: ci/sample/staging.yaml}
  approve:  manual
  deploy:   {lab: production, service: web}
  release:  {strategy: canary, steps: [5, 25, 50, 100], hold: 5s, analysis: {success-rate: ">= 99%", p99: "<= 200ms", network: {path: unchanged, loss: "<= 0.1%"}}, load: 100/s}
  notify:   [{webhook: "http://127.0.0.1:9000/hook"}, {file: notices.jsonl}, {command: "true"}]
  """

@Suite struct PipelineFileTests {
  @Test func theSampleOfTheContractIsReadWhole() throws {
    let parsed = PipelineFile.parse(text: contractPipeline, file: "p.yaml")
    let pipeline = try #require(parsed.value, "\(shown(parsed.errors))")
    #expect(parsed.diagnostics.isEmpty)
    #expect(pipeline.name == "web" && pipeline.concurrency == .refuse)
    #expect(pipeline.source == PipelineSource(repository: ".", ref: "main", path: "ci/sample", prepare: nil))
    #expect(pipeline.build == PipelineCommand(run: "make build", seconds: 1800))
    #expect(pipeline.test?.junit == "report.xml" && pipeline.test?.retries == 0)
    #expect(pipeline.mergeInto == "main" && pipeline.tag == .commit)
    #expect(pipeline.package?.files == [PipelineFileCopy(from: "bin/web", to: "/web")])
    #expect(pipeline.registry == "registry:5000" && pipeline.registryLab == "production")
    #expect(pipeline.verify == "ci/sample/staging.yaml" && pipeline.approval == .manual(expires: nil))
    #expect(pipeline.deploy?.ready == PipelineReadiness(path: "/", seconds: 30))
    let release = try #require(pipeline.release)
    #expect(release.steps == [5, 25, 50, 100] && release.hold == 5 && release.strategy == .canary)
    #expect(release.load == PipelineLoad(rate: 100, from: nil, path: "/"))
    #expect(release.analysis.successRate == PipelineThreshold(.atLeast, 99, .percent))
    #expect(release.analysis.p99 == PipelineThreshold(.atMost, 200, .milliseconds))
    #expect(release.analysis.network?.pathUnchanged == true)
    #expect(release.analysis.network?.loss == PipelineThreshold(.atMost, 0.1, .percent))
    #expect(
      pipeline.notifications.map(\.target) == [
        .webhook("http://127.0.0.1:9000/hook"), .file("notices.jsonl"), .command("true"),
      ])
  }

  @Test func everyOtherWayOfWritingItIsRead() throws {
    let text = """
      name: web
      concurrency: queue
      source: {repository: "https://example.org/web.git", prepare: "true"}
      build: {run: make, timeout: 1h}
      test: {run: make test, retries: 2}
      package: {image: team/web, files: {a: /a, b/c: /d}, entrypoint: [/a, -x], env: {PORT: 80}}
      tag: version
      push: {registry: "hub:5000", lab: other}
      approve: {manual: {expires: 2d}}
      deploy: {lab: production, service: web, topology: production.yaml, initial: v0, ready: {path: /up, within: 1m}}
      release:
        strategy: blue-green
        load: {rate: 10/s, from: client, path: "/?a=b"}
        analysis: {min-requests: 50, p99: "<= 1s", regression: {success-rate: 0.5%, p99: 1.5x}, network: {queueing: "<= 20ms", retransmissions: "<= 2%"}}
      notify: [{webhook: "https://example.org/h", secret: {env: HOOK}, retries: 0}, {console: true}]
      """
    let parsed = PipelineFile.parse(text: text, file: "p.yaml")
    let pipeline = try #require(parsed.value, "\(shown(parsed.errors))")
    #expect(pipeline.concurrency == .queue && pipeline.source.ref == "main" && pipeline.source.path == ".")
    #expect(pipeline.build?.seconds == 3600 && pipeline.test?.retries == 2)
    #expect(pipeline.package?.environment == ["PORT=80"] && pipeline.registryLab == "other")
    #expect(pipeline.approval == .manual(expires: 172_800) && pipeline.deploy?.initial == "v0")
    #expect(pipeline.release?.steps == [100] && pipeline.release?.strategy == .blueGreen)
    #expect(pipeline.release?.load == PipelineLoad(rate: 10, from: "client", path: "/?a=b"))
    #expect(pipeline.release?.analysis.regression == PipelineRegression(successRate: 0.5, p99: 1.5))
    #expect(pipeline.release?.analysis.p99?.description == "<= 1000ms")
    #expect(pipeline.release?.analysis.network?.pathUnchanged == false)
    #expect(pipeline.notifications[0].secret == .environment("HOOK") && pipeline.notifications[0].retries == 0)
  }

  @Test func theWorkedSampleIsRead() throws {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/../../ci/pipeline.yaml"
    let parsed = PipelineFile.load(path: path)
    #expect(parsed.diagnostics.isEmpty, "\(shown(parsed.diagnostics))")
    #expect(parsed.value?.deploy?.topology == "ci/sample/production.yaml")
  }

  @Test func aRegressionAloneJudges() throws {
    let text = Self.deployed + "release: {hold: 24h, analysis: {regression: {p99: 2x}}}\n"
    let analysis = try #require(PipelineFile.parse(text: text, file: "p.yaml").value?.release?.analysis)
    #expect(analysis.judges && analysis.comparesP99 && !analysis.comparesSuccessRate)
  }

  private static let head = "name: web\nsource: {repository: .}\n"
  private static let image = head + "package: {image: web, files: {a: /a}, entrypoint: [/a]}\n"
  private static let deployed =
    image + "push: {registry: \"r:5000\"}\ndeploy: {lab: p, service: web}\n"

  private static let broken: [Broken] = [
    Broken("no name", "has no `name`", "§source: {repository: .}\n"),
    Broken("an unknown stage", "did you mean `build`", head + "§biuld: {run: x}\n"),
    Broken("a build without a command", "no `run`", head + "§build: {}\n"),
    Broken(
      "a ref that is an option", "begins with a hyphen", "name: web\nsource: {repository: ., ref: §--upload-pack=x}\n"),
    Broken(
      "a path out of the commit", "`..` leaves it",
      head + "verify: {topology: §../x.yaml}\npush: {registry: \"r:1\", lab: l}\n"
        + "package: {image: web, files: {a: /a}, entrypoint: [/a]}\n"),
    Broken("a tag without a package", "there is no image to tag", head + "§tag: commit\n"),
    Broken("a release without a deployment", "no deployed version", head + "§release: {hold: 1s}\n"),
    Broken("a push without a lab", "needs `lab`", image + "§push: {registry: \"r:5000\"}\n"),
    Broken("a registry without a port", "the port is missing", image + "push: {registry: §registry, lab: l}\n"),
    Broken(
      "an image with a tag", "come by themselves",
      head + "package: {image: §web:v1, files: {a: /a}, entrypoint: [/a]}\n"),
    Broken(
      "two files at one place", "another file already",
      head + "package: {image: web, files: {a: /a, b: §/a}, entrypoint: [/a]}\n"),
    Broken("steps that fall", "expected steps that rise", deployed + "release: {steps: [50, §25, 100]}\n"),
    Broken("steps that do not end", "expected 100", deployed + "release: {steps: [5, §50]}\n"),
    Broken(
      "steps of blue-green", "belong to `strategy: canary`",
      deployed + "release: {strategy: blue-green, §steps: [100]}\n"),
    Broken(
      "a network that judges nothing", "`network` judges nothing", deployed + "release: {analysis: {§network: {}}}\n"),
    Broken(
      "an analysis that judges nothing", "`analysis` judges nothing",
      deployed + "release: {§analysis: {min-requests: 5, regression: {}}}\n"),
    Broken("a step of days", "longer than 24h", deployed + "release: {hold: §50d}\n"),
    Broken("a step that is a little too long", "longer than 24h", deployed + "release: {hold: §86401s}\n"),
    Broken(
      "a pod that may take hours", "longer than 1h",
      image + "push: {registry: \"r:5000\"}\ndeploy: {lab: p, service: web, ready: {within: §2h}}\n"),
    Broken(
      "a time that is no number any more", "a time with its unit", deployed + "release: {hold: §1099511627775m}\n"),
    Broken(
      "a bound the wrong way", "does not begin with `<=`", deployed + "release: {analysis: {p99: §\">= 200ms\"}}\n"),
    Broken("a threshold without a unit", "a threshold such as", deployed + "release: {analysis: {p99: §\"<= 200\"}}\n"),
    Broken("another unit", "the unit is another one", deployed + "release: {analysis: {success-rate: §\">= 99ms\"}}\n"),
    Broken("a load without a unit", "requests per second", deployed + "release: {load: §100}\n"),
    Broken("an unknown gate", "`automatic`, `manual`", head + "approve: §maybe\n"),
    Broken("two targets", "expected one of them", head + "notify: [§{file: a, command: b}]\n"),
    Broken("a secret of a file", "belongs to a webhook", head + "notify: [{file: a, §secret: b}]\n"),
    Broken("no web address", "begins with http", head + "notify: [{webhook: §ftp://x/y}]\n"),
  ]

  @Test(arguments: broken)
  func aBrokenFileIsRefusedAtItsPlace(_ broken: Broken) throws {
    let parsed = PipelineFile.parse(text: broken.text, file: "p.yaml")
    #expect(parsed.value == nil && parsed.errors.count == 1, "\(shown(parsed.errors))")
    let error = try #require(parsed.errors.first)
    #expect("\(error.place.line):\(error.place.column)" == "\(broken.line):\(broken.column)", "\(shown(parsed.errors))")
    #expect(error.message.contains(broken.word), "\(shown(parsed.errors))")
  }
}
