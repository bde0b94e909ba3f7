import Glibc
import Machine

exit(MachineProgram.main(CommandLine.arguments))
