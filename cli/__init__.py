"""The command `tick`."""
