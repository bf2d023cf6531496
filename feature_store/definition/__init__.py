"""Feature definitions as text: their checks, the reference evaluation in plain Python, their
examples.
"""
