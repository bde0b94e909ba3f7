public import Mesh

// Manifests as Swift literals; what a parser would say about places does not matter to most tests.
extension ManifestValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(stringLiteral value: String) { self.init(.string(value)) }
  public init(integerLiteral value: Int) { self.init(.integer(value)) }
  public init(booleanLiteral value: Bool) { self.init(.boolean(value)) }
  public init(arrayLiteral elements: ManifestValue...) { self.init(.list(elements)) }
  public init(dictionaryLiteral elements: (String, ManifestValue)...) {
    self.init(.map(elements.map { (key: $0.0, value: $0.1) }))
  }
}
