import EventLoop
import TLS

/// A configuration that has been checked, with what all workers share. Making one is where a bad configuration is
/// refused; a worker that gets it cannot fail.
final class RuntimeConfiguration: Sendable {
  let source: SidecarConfiguration
  let contexts: TLSContexts?

  init(
    _ source: SidecarConfiguration, _ observation: Observation, keeping old: RuntimeConfiguration?
  ) throws(ConfigurationError) {
    try ConfigurationCheck.check(source)
    self.source = source
    if let certificates = source.certificates {
      if let contexts = old?.contexts, contexts.certificates == certificates {
        self.contexts = contexts
      } else {
        do throws(TLSSetupError) {
          contexts = try TLSContexts(certificates, keys: observation.keys)
        } catch {
          throw ConfigurationError("certificates: \(error.description)")
        }
      }
    } else {
      contexts = nil
    }
  }
}

/// Why a configuration was refused; the one before it stays in force.
public struct ConfigurationError: Error, Equatable, CustomStringConvertible {
  public let description: String

  init(_ description: String) { self.description = description }
}
