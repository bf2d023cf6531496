"""The lakehouse: Iceberg tables in one catalog that Flink and PyIceberg share; polars reads and
writes.
"""
