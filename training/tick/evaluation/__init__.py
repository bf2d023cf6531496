"""Evaluation of tick forecasts: backtests, metrics, walk-forward and the hold-out days."""
