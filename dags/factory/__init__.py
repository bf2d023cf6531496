"""What DAG files are built from: a DAG as data, validated configurations, the training DAGs."""
