"""Definitions that every package shares: ticks and their rules, features, topics, settings, errors.

Imports nothing heavy.
"""
