import Glibc
import Probe

exit(ProbeProgram.main(CommandLine.arguments))
