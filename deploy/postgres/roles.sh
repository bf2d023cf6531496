#!/bin/sh
# Roles and data bases of MLflow and Airflow, made once with the data folder; passwords come from the environment.
set -eu
make() {
  psql -v ON_ERROR_STOP=1 -U postgres -v name="$1" -v password="$2" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
SQL
}
make airflow "$POSTGRES_AIRFLOW_PASSWORD"
make mlflow "$POSTGRES_MLFLOW_PASSWORD"
