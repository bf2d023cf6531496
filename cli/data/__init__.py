"""Commands on ticks: replay, load, look, query."""
