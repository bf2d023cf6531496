#!/bin/sh
# Create the roles and databases of MLflow and Airflow, once, together with the data folder.
# The passwords come from the environment: every user could read them on the command line of psql.
set -eu
make() {
  ROLE_PASSWORD="$2" psql -v ON_ERROR_STOP=1 -U postgres -v name="$1" <<'SQL'
\getenv password ROLE_PASSWORD
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
SQL
}
make airflow "$POSTGRES_AIRFLOW_PASSWORD"
make mlflow "$POSTGRES_MLFLOW_PASSWORD"
