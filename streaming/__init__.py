"""From a feed to Kafka, and the live Flink job between Kafka, the lakehouse and the features."""
