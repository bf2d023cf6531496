"""The parity meter: are live features, backfilled features, the naive oracle and what was served
the same numbers?
"""
