"""Ticks as JSON messages: how they are written, and read as Flink reads them."""
