#!/bin/sh
# The tracking server for many: PostgreSQL, an S3 store behind it, a password for everybody.
#     infra/mlflow/serve.sh [--host 127.0.0.1] [--port 5000] [--workers 4]
# Everything else comes from the environment (README.md beside this file), and nothing has a default that lets
# somebody in. Passwords never stand in a command line, where every user of the machine could read them.
set -eu

for name in MLFLOW_AUTH_ADMIN_USERNAME MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY \
    MLFLOW_SERVER_ALLOWED_HOSTS MLFLOW_ARTIFACTS_DESTINATION PGHOST PGUSER PGPASSWORD PGDATABASE; do
    eval "value=\${$name:-}"
    if [ -z "$value" ]; then
        echo "error: $name: found nothing; infra/mlflow/README.md says what it has to be" >&2
        exit 1
    fi
done

# psycopg reads where the database is, and its password, from the PG variables.
export MLFLOW_BACKEND_STORE_URI=postgresql+psycopg://
MLFLOW_AUTH_CONFIG_PATH="$(dirname "$(realpath "$0")")/auth.ini"
export MLFLOW_AUTH_CONFIG_PATH
# 2 processes instead of the 10 of its job runner, which nothing here uses.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true

# Once, before several workers find an empty database and each make its tables.
python -m mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"
exec python -m mlflow server --app-name basic-auth --serve-artifacts "$@"
