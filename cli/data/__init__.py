"""Commands on ticks: replay, load, inspect, query."""
