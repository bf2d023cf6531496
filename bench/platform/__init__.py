"""The platform of one bench: its services on free ports, and an API with a model and features."""
