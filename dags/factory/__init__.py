"""What DAG files are built from: a DAG as data, validated variants, the factory of trainings."""
