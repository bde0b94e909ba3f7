internal import ControlProtocol
internal import EventLoop
internal import SwiftProtobuf
public import Topology

/// What a lab was made from, read from its run directory.
extension Lab {
  /// The names of the lab's nodes, read from its plan; none when that cannot be read.
  public func nodeNames() -> [String] { plan?.nodes.map(\.name) ?? [] }

  /// The topology file as `up` was given it; paths in it start where the original lay.
  public func topology() throws(LabError) -> Parsed<ResolvedLab> {
    let path = directory.topology
    do {
      return TopologyFile.parse(
        text: try SmallFile.text(path), file: path, baseDirectory: plan?.baseDirectory ?? directory.path)
    } catch {
      throw LabError(.environment, "cannot read \(path): \(error)")
    }
  }

  private var plan: NLMachinePlan? {
    (try? SmallFile.read(directory.plan)).flatMap { try? NLMachinePlan(serializedBytes: $0) }
  }
}
