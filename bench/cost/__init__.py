"""CPU time: of a block of code, of a process, of a JVM, and of Flink for one chunk of ticks."""
