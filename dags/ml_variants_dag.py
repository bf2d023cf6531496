"""An Airflow DAG that trains for every YAML file in `dags/variants`: another network, another zone,
another schedule, without code.
"""

from pathlib import Path

from dags.model_training_factory import variants

globals().update(variants(Path(__file__).with_name("variants")))
