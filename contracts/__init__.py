"""What all packages share: ticks and their rules, features, topics, settings, errors. Imports
nothing heavy.
"""
