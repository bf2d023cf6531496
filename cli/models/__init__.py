"""Commands on models: train, evaluate, promote; statistics of days."""
