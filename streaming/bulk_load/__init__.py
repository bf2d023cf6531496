"""Load files of trades directly into the lakehouse, bypassing Kafka and Flink."""
