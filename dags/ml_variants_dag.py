"""One Airflow DAG per YAML file in `dags/variants`: training variants without code."""

from pathlib import Path

from dags.factory.model_training import variant_dags

globals().update(variant_dags(Path(__file__).with_name("variants")))
