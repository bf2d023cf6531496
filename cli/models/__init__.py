"""Commands on models: train, evaluate, promote; daily statistics."""
