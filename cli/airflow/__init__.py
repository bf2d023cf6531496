"""`tick airflow …`."""
