"""A backup of the tracking server: runs, versions, users and artifacts, in one folder. The server may go on meanwhile.

    python -m infra.mlflow.backup FOLDER

The database first, then the artifacts: a run's files are only ever added, so all that the database names is in the
copy. PGHOST, PGUSER, PGPASSWORD, PGDATABASE say where the database is (`pg_dump` reads them), and
MLFLOW_ARTIFACTS_DESTINATION where the artifacts are. The folder appears whole or not at all.
"""

import argparse
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from infra.mlflow import store
from pipelines import files

DATABASE, ARTIFACTS, FACTS = "database.dump", "artifacts", "backup.json"


def main() -> None:
    parser = argparse.ArgumentParser(description="Back up the tracking server.")
    parser.add_argument("folder", type=Path, help="of this backup; must not be there yet")
    folder = parser.parse_args().folder.resolve()
    if folder.exists():
        sys.exit(f"error: {folder}: is there already; name a folder that is not")
    with files.whole_folder(folder) as aside:
        run("pg_dump", "--format", "custom", "--no-owner", "--file", str(aside / DATABASE))
        count = store.save(aside / ARTIFACTS)
        facts = {"made": datetime.now(UTC).isoformat(timespec="seconds"), "artifacts": count}
        files.write_json(aside / FACTS, facts | {"database_sha256": files.sha256(aside / DATABASE)})
    print(f"backup: {folder}: the database and {count} artifacts")


def run(*command: str) -> None:
    """A program of PostgreSQL; ends the process where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        sys.exit(f"error: {command[0]}: not on this machine; PostgreSQL's client programs are wanted")
    if done.returncode:
        sys.exit(f"error: {command[0]}: ended with status {done.returncode}: {done.stderr.strip()[-500:]}")


if __name__ == "__main__":
    main()
