import ArgumentParser
import Lab

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "What this machine can and cannot do, and what falls back.",
    discussion: """
      EXAMPLES:
        netloom doctor
        netloom doctor -o json | jq -r '.[] | select(.available | not) | .feature'

      Everything is tried for real in namespaces that are thrown away. Exit code 3 when labs cannot run at all.
      """)

  @OptionGroup var common: CommonOptions

  func run() throws {
    let doctor = try Doctor.examine()
    if common.json {
      try Output.json(doctor.findings)
    } else {
      let palette = Palette(color: common.appearance.color)
      var table = Table("FEATURE", "HERE", "MEANS")
      for finding in doctor.findings {
        table.add(finding.feature, finding.available ? "yes" : "no", finding.meaning)
      }
      table.paint = { row, column, text in
        guard column == 1 else { return text }
        let finding = doctor.findings[row]
        if finding.available { return palette.green(text) }
        return finding.need == .required ? palette.red(text) : palette.yellow(text)
      }
      for line in table.lines(palette: palette) { Output.line(line) }
    }
    guard !doctor.labsRun else { return }
    let missing = doctor.findings.filter { !$0.available && $0.need == .required }.map(\.feature)
    throw LabError(.environment, "labs cannot run here: \(missing.joined(separator: ", "))")
  }
}
