"""Files of trades straight into the lakehouse, without the stream."""
