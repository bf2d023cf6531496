"""Features of a range of history: chunks in Flink batch mode, each swapped into gold in one
commit."""
