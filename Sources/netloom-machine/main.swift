import Machine

#if canImport(Glibc)
import Glibc
#endif

exit(MachineProgram.main(CommandLine.arguments))
