"""The lakehouse: Iceberg tables on one catalog that Flink and PyIceberg share, read and written
with polars.
"""
