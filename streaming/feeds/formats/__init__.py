"""Formats of files with trades: the contract's own, and those of exchanges and data vendors."""
