// main.swift - the program. Everything is in StorageNode, where tests can reach it.

import Glibc
import StorageNode

exit(NodeProcess.run(CommandLine.arguments))
