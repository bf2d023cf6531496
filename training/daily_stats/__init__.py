"""Daily statistics of ticks: volatility, volume profile, correlation."""
