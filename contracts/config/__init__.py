"""Settings, and what follows from them alone: paths, connections, logs."""
