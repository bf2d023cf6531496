"""The live Flink job: its tables, the validation of messages in SQL, its start, states and
warm-up."""
