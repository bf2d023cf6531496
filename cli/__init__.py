"""The command `tick`, a module per group of commands."""
