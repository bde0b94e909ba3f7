/// A checked tree → `Pipeline`, with what only the whole file can say: which stages need which, steps that rise.
struct PipelineReader {
  let tree: Tree
  let file: String
  let reporter: Reporter

  func read() -> Pipeline? {
    checkNeeds()
    guard let name = tree.text("name"), let source = source() else { return nil }
    return Pipeline(
      name: name, file: file, concurrency: tree.text("concurrency").flatMap(Pipeline.Concurrency.init) ?? .refuse,
      source: source, build: tree["build"].flatMap(command), test: tree["test"].flatMap(test),
      mergeInto: tree["merge"]?.text("into"), package: tree["package"].flatMap(package),
      tag: tree.text("tag").flatMap(PipelineTag.init) ?? (tree["package"] == nil ? nil : .commit),
      registry: tree["push"]?.text("registry"), registryLab: registryLab(), verify: tree["verify"]?.text("topology"),
      approval: approval(),
      deploy: tree["deploy"].flatMap(deploy), release: tree["release"].map(release),
      notifications: tree.items("notify").compactMap(notification))
  }

  /// A stage that has nothing to work on is a mistake of the file, not of a run.
  private func checkNeeds() {
    let needs: [(stage: String, needs: String, why: String)] = [
      ("tag", "package", "there is no image to tag"), ("push", "package", "there is no image to push"),
      ("verify", "push", "there is no pushed image to verify"),
      ("deploy", "push", "there is no pushed image to deploy"),
      ("release", "deploy", "there is no deployed version to release"),
    ]
    for need in needs {
      if let entry = tree.entry(need.stage), tree[need.needs] == nil {
        reporter.error(entry.keyPlace, "`\(need.stage)` without `\(need.needs)`: \(need.why)")
      }
    }
  }

  private func registryLab() -> String? {
    let lab = tree["push"]?.text("lab") ?? tree["deploy"]?.text("lab")
    if lab == nil, let entry = tree.entry("push"), entry.value["lab"] == nil, tree["deploy"] == nil {
      reporter.error(entry.keyPlace, "`push` without `deploy` needs `lab`: the running lab that the registry is in")
    }
    return lab
  }

  private func source() -> PipelineSource? {
    guard let source = tree["source"], let repository = source.text("repository") else { return nil }
    return PipelineSource(
      repository: repository, ref: source.text("ref") ?? "main", path: source.text("path") ?? ".",
      prepare: source.text("prepare"))
  }

  private func command(_ tree: Tree) -> PipelineCommand? {
    tree.text("run").map {
      PipelineCommand(run: $0, seconds: tree.text("timeout").flatMap(parseLongTime) ?? 1800)
    }
  }

  private func test(_ tree: Tree) -> PipelineTest? {
    command(tree).map {
      PipelineTest(command: $0, junit: tree.text("junit"), retries: tree.number("retries").map(Int.init) ?? 0)
    }
  }

  private func package(_ tree: Tree) -> PipelinePackage? {
    guard let image = tree.text("image") else { return nil }
    let files = tree["files"]?.entries.compactMap { entry in
      entry.value.text.map { PipelineFileCopy(from: entry.key, to: $0) }
    }
    if let files, files.isEmpty, let entry = tree.entry("files") {
      reporter.error(entry.keyPlace, "`files` is empty; expected at least one file, such as \"bin/web\": \"/web\"")
    }
    var places: Set<String> = []
    for entry in tree["files"]?.entries ?? [] {
      if let to = entry.value.text, !places.insert(to).inserted {
        reporter.error(entry.value.place, "`\(to)` is the place of another file already")
      }
    }
    return PipelinePackage(
      image: image, files: files ?? [], entrypoint: tree.texts("entrypoint"),
      environment: tree["env"]?.entries.map { "\($0.key)=\($0.value.text ?? "")" } ?? [],
      archive: tree.text("archive"))
  }

  private func approval() -> PipelineApproval {
    guard let approve = tree["approve"] else { return .automatic }
    if let word = approve.text { return word == "manual" ? .manual(expires: nil) : .automatic }
    return .manual(expires: approve["manual"]?.text("expires").flatMap(parseLongTime))
  }

  private func deploy(_ tree: Tree) -> PipelineDeploy? {
    guard let lab = tree.text("lab"), let service = tree.text("service") else { return nil }
    return PipelineDeploy(
      lab: lab, service: service, topology: tree.text("topology"), initial: tree.text("initial"),
      ready: PipelineReadiness(
        path: tree["ready"]?.text("path") ?? "/", seconds: tree["ready"]?.text("within").flatMap(parseLongTime) ?? 30))
  }

  private func release(_ tree: Tree) -> PipelineRelease {
    let strategy = tree.text("strategy").flatMap(PipelineRelease.Strategy.init) ?? .canary
    let steps = steps(tree, strategy)
    checkJudges(tree)
    return PipelineRelease(
      strategy: strategy, steps: steps, hold: tree.text("hold").flatMap(parseLongTime) ?? 5,
      analysis: analysis(tree["analysis"]), load: load(tree["load"]))
  }

  private func steps(_ tree: Tree, _ strategy: PipelineRelease.Strategy) -> [Int] {
    guard let entry = tree.entry("steps") else { return strategy == .canary ? [5, 25, 50, 100] : [100] }
    if strategy == .blueGreen {
      reporter.error(entry.keyPlace, "`steps` belong to `strategy: canary`; blue-green moves everything at once")
      return [100]
    }
    var steps: [Int] = []
    for item in entry.value.list {
      guard let step = item.text.flatMap({ Int($0) }) else { continue }
      if let last = steps.last, step <= last {
        reporter.error(item.place, "step \(step) after \(last); expected steps that rise")
      }
      steps.append(step)
    }
    if let last = steps.last, last != 100, let item = entry.value.list.last {
      reporter.error(item.place, "the last step is \(last); expected 100, all requests to the new version")
    }
    return steps
  }

  private func load(_ tree: Tree?) -> PipelineLoad? {
    guard let tree else { return nil }
    let written = tree.text ?? tree.text("rate")
    return written.flatMap(parseRequestRate).map {
      PipelineLoad(rate: $0, from: tree.text("from"), path: tree.text("path") ?? "/")
    }
  }

  private func analysis(_ tree: Tree?) -> PipelineAnalysis {
    let regression = tree?["regression"]
    let network = tree?["network"]
    return PipelineAnalysis(
      minimumRequests: tree?.number("min-requests").map(Int.init) ?? 10,
      successRate: tree?.text("success-rate").flatMap(parseThreshold), p99: tree?.text("p99").flatMap(parseThreshold),
      regression: PipelineRegression(
        successRate: regression?.text("success-rate").flatMap(parsePartsPerMillion).map { Double($0) / 10_000 } ?? 1,
        p99: regression?.text("p99").flatMap(parseFactor) ?? 2),
      network: network.map {
        PipelineNetworkAnalysis(
          pathUnchanged: $0.text("path") != nil, loss: $0.text("loss").flatMap(parseThreshold),
          retransmissions: $0.text("retransmissions").flatMap(parseThreshold),
          queueing: $0.text("queueing").flatMap(parseThreshold))
      }, comparesSuccessRate: regression?.text("success-rate") != nil, comparesP99: regression?.text("p99") != nil)
  }

  /// What judges nothing lets everything through, which nobody means who writes it.
  private func checkJudges(_ release: Tree) {
    guard let entry = release.entry("analysis"), let analysis = release["analysis"] else { return }
    if let network = analysis.entry("network"), network.value.entries.isEmpty {
      reporter.error(
        network.keyPlace, "`network` judges nothing; expected `path`, `loss`, `retransmissions` or `queueing`")
    } else if ["success-rate", "p99", "network"].allSatisfy({ analysis.entry($0) == nil }),
      analysis["regression"]?.entries.isEmpty ?? true
    {
      reporter.error(
        entry.keyPlace,
        "`analysis` judges nothing; expected `success-rate`, `p99`, `regression` or `network` with what is asked")
    }
  }

  private func notification(_ tree: Tree) -> PipelineNotification? {
    let target: PipelineNotification.Target
    if let address = tree.text("webhook") {
      target = .webhook(address)
    } else if let path = tree.text("file") {
      target = .file(path)
    } else if let command = tree.text("command") {
      target = .command(command)
    } else if tree.bool("console") == true {
      target = .console
    } else {
      return nil
    }
    for key in ["secret", "retries"] {
      if tree.text("webhook") == nil, let entry = tree.entry(key) {
        reporter.error(entry.keyPlace, "`\(key)` belongs to a webhook")
      }
    }
    let secret = tree["secret"]
    return PipelineNotification(
      target: target,
      secret: secret?.text.map(PipelineNotification.Secret.text)
        ?? secret?.text("env").map(PipelineNotification.Secret.environment),
      retries: tree.number("retries").map(Int.init) ?? 4)
  }
}
