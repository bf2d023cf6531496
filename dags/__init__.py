"""Airflow DAGs: schedules, resources and alerts of training, backfill, statistics, maintenance."""
