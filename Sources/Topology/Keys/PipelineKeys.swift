/// The file of `netloom pipeline` (contract section 8).
enum PipelineKeys {
  static let file = Record(
    "the pipeline",
    keys: [
      Key("name", .scalar(.name), .required, "what its runs are kept under"),
      Key(
        "concurrency", .scalar(.word(Pipeline.Concurrency.allCases.map(\.rawValue))),
        "a second run while one is under way: refuse (unless written) or queue"),
      Key("source", .record(source), .required, "the repository, and what of it"),
      Key("build", .record(command("a build")), "the command that builds it"),
      Key("test", .record(test), "the command that tests it; a failure stops the run and nothing is packaged"),
      Key("merge", .record(merge), "the branch that moves to the commit once its tests have passed"),
      Key("package", .record(package), "the OCI image that is made of what was built"),
      Key(
        "tag", .scalar(.word(PipelineTag.allCases.map(\.rawValue))),
        "the image's tag: commit (unless written), or version (the git tag at the commit)"),
      Key("push", .record(push), "where the image goes"),
      Key("verify", .record(verify), "a lab of its own that runs the image; its tests must hold"),
      Key(
        "approve", .either([.scalar(.word(["automatic", "manual"])), .record(approval)]),
        "automatic (unless written), or manual: waits for netloom pipeline approve"),
      Key("deploy", .record(deploy), "the running lab and the service that get the image"),
      Key("release", .record(release), "how requests move to the new version, and what is judged meanwhile"),
      Key(
        "notify", .list(.record(notification), example: "[{webhook: \"http://127.0.0.1:9000/hook\"}]"),
        "who is told what became of the run"),
    ])

  private static let source = Record(
    "`source`",
    keys: [
      Key(
        "repository", .scalar(.text("a path or an address that git clone takes")), .required,
        "a git repository, relative to the current directory"),
      Key("ref", .scalar(.gitRef), "a branch, tag or commit; main unless written"),
      Key("path", .scalar(.insidePath), "where commands run, relative to the root of the commit"),
      Key("prepare", .scalar(.text("a shell command")), "makes the repository; run in the current directory first"),
    ])

  private static func command(_ noun: String) -> Record {
    Record(
      noun,
      keys: [
        Key(
          "run", .scalar(.text("a shell command")), .required, "run by /bin/sh in source.path; its exit code decides"),
        Key("timeout", .scalar(.longTime), "how long it may take; 30m unless written"),
      ])
  }

  private static let test = Record(
    "a test",
    keys: command("a test").keys + [
      Key("junit", .scalar(.insidePath), "the JUnit report that it writes, relative to source.path"),
      Key("retries", .scalar(.integer(0...5)), "how often a failed test run is repeated; 0 unless written"),
    ])

  private static let merge = Record(
    "`merge`", keys: [Key("into", .scalar(.gitRef), .required, "the branch; it is moved forward or the run stops")])

  private static let package = Record(
    "`package`",
    keys: [
      Key("image", .scalar(.imageName), .required, "what the image is called in the registry"),
      Key(
        "files", .names(.insidePath, .scalar(.absolutePath), example: "\"bin/web\": \"/web\""), .required,
        "files and folders of source.path, and where they stand in the image"),
      Key(
        "entrypoint", .list(.scalar(.text("a word of a command")), count: 1...64, example: "[\"/web\"]"), .required,
        "what the image runs"),
      Key("env", .names(.environmentName, .scalar(.anyText), example: "PORT: 8080"), "variables of its processes"),
      Key(
        "archive", .scalar(.text("a path")),
        "the tagged image as an OCI archive too; relative to the current directory"),
    ])

  private static let push = Record(
    "`push`",
    keys: [
      Key("registry", .scalar(.registry), .required, "a node of kind registry"),
      Key("lab", .scalar(.name), "the running lab that it is in; that of `deploy` unless written"),
    ])

  private static let verify = Record(
    "`verify`",
    keys: [
      Key(
        "topology", .scalar(.insidePath), .required,
        "a topology file with tests; NAME@{digest} in it becomes the image that was pushed")
    ])

  private static let approval = Record(
    "`approve`",
    keys: [
      Key(
        "manual",
        .record(
          Record(
            "`manual`", keys: [Key("expires", .scalar(.longTime), "refused by itself when this time is up")])),
        .required, "somebody must approve")
    ])

  private static let deploy = Record(
    "`deploy`",
    keys: [
      Key("lab", .scalar(.name), .required, "a running lab"),
      Key(
        "service", .scalar(.name), .required, "a service of its mesh; the version that gets no requests gets the image"),
      Key(
        "topology", .scalar(.insidePath),
        "brings the lab up where it does not run; IMAGE@{digest} in it becomes the image that was released last"),
      Key("initial", .scalar(.gitRef), "what the lab serves when it is brought up before anything was released"),
      Key(
        "ready",
        .record(
          Record(
            "`ready`",
            keys: [
              Key("path", .scalar(.urlPath), "asked of each pod; / unless written"),
              Key("within", .scalar(.time(hours: 1)), "how long a pod may take; 30s unless written"),
            ])), "when a pod may get requests"),
    ])

  private static let release = Record(
    "`release`",
    keys: [
      Key(
        "strategy", .scalar(.word(PipelineRelease.Strategy.allCases.map(\.rawValue))),
        "canary (unless written): by steps; blue-green: at once"),
      Key(
        "steps", .list(.scalar(.integer(1...100)), count: 1...100, example: "[5, 25, 50, 100]"),
        "per cent, rising to 100"),
      Key("hold", .scalar(.time(hours: 24)), "how long each step is observed; 5s unless written"),
      Key("analysis", .record(analysis), "what must hold at each step"),
      Key(
        "load",
        .either([
          .scalar(.requestRate),
          .record(
            Record(
              "`load`",
              keys: [
                Key("rate", .scalar(.requestRate), .required, "requests per second"),
                Key("from", .scalar(.reference("a pod")), "who sends them"),
                Key("path", .scalar(.urlPath), "what they ask for; / unless written"),
              ])),
        ]), "requests that the pipeline sends itself while it judges"),
    ])

  private static let analysis = Record(
    "`analysis`",
    keys: [
      Key("min-requests", .scalar(.integer(1...1_000_000)), "fewer in a window are no data; 10 unless written"),
      Key("success-rate", .scalar(.threshold(">= 99%")), "of the new version's requests"),
      Key("p99", .scalar(.threshold("<= 200ms")), "what 99 of 100 requests of the new version take"),
      Key(
        "regression",
        .record(
          Record(
            "`regression`",
            keys: [
              Key("success-rate", .scalar(.percent), "points that it may be lower; 1% unless written"),
              Key("p99", .scalar(.factor), "how many times it may be longer; 2x unless written"),
            ])), "how much worse than the running version the new one may be"),
      Key(
        "network",
        .record(
          Record(
            "`network`",
            keys: [
              Key(
                "path", .scalar(.word(["unchanged"])), "the ways of the new version's packets, by AS, there and back"),
              Key("loss", .scalar(.threshold("<= 0.1%")), "of packets between a client and the new version"),
              Key("retransmissions", .scalar(.threshold("<= 1%")), "of the TCP segments of the new version's pods"),
              Key("queueing", .scalar(.threshold("<= 20ms")), "p99 over minimum of the round trips to the new version"),
            ])), "what the network under it must show"),
    ])

  private static let notification = Record(
    "a notification", exactlyOne: ["webhook", "file", "command", "console"],
    keys: [
      Key("webhook", .scalar(.webAddress), "gets the notice as JSON by POST"),
      Key("file", .scalar(.text("a path")), "gets a line of JSON"),
      Key("command", .scalar(.text("a shell command")), "gets the JSON on its standard input"),
      Key("console", .scalar(.bool), "says it on standard error"),
      Key(
        "secret",
        .either([
          .scalar(.text("a secret")),
          .record(
            Record(
              "`secret`", keys: [Key("env", .scalar(.environmentName), .required, "the variable that holds it")])),
        ]), "signs a webhook: X-Netloom-Signature-256 is sha256=HMAC of the body"),
      Key("retries", .scalar(.integer(0...10)), "of a webhook, with growing pauses; 4 unless written"),
    ])
}
