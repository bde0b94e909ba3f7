import Glibc
import Sidecar

exit(SidecarProgram.main(CommandLine.arguments))
