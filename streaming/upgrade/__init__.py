"""Upgrade of the live job to the program of this version, gated by a comparison of values."""
