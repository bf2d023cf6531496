"""One Airflow DAG per YAML file in `dags/variants`: training variants without code."""

from pathlib import Path

from dags.model_training_factory import variant_dags

globals().update(variant_dags(Path(__file__).with_name("variants")))
