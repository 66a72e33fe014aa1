"""A tracking server from a backup, into an empty database; the server stands still meanwhile.

    python -m infra.mlflow.restore FOLDER

All or nothing: where the database holds tables already, nothing is changed. Variables as in backup.py beside this file.
"""

import argparse
import sys
from pathlib import Path

from infra.mlflow import backup, store
from pipelines import files


def main() -> None:
    parser = argparse.ArgumentParser(description="Restore the tracking server.")
    parser.add_argument("folder", type=Path, help="of a backup")
    folder = parser.parse_args().folder.resolve()
    check(folder)
    # An address that says nothing: the variables say all.
    command = ["pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--dbname", "postgresql://"]
    backup.run(*command, str(folder / backup.DATABASE))
    print(f"restore: {folder}: the database and {store.load(folder / backup.ARTIFACTS)} artifacts")


def check(folder: Path) -> None:
    """Ends the process where this is no whole backup."""
    if not (folder / backup.FACTS).is_file():
        sys.exit(f"error: {folder}: no backup; a folder that infra/mlflow/backup.py made is wanted")
    facts = files.read_json(folder / backup.FACTS)
    if files.sha256(folder / backup.DATABASE) != facts["database_sha256"]:
        sys.exit(f"error: {folder / backup.DATABASE}: its checksum is another; take another backup")
    artifacts = sum(path.is_file() for path in (folder / backup.ARTIFACTS).rglob("*"))
    if artifacts != facts["artifacts"]:
        sys.exit(f"error: {folder}: found {artifacts} artifacts of {facts['artifacts']}; take another backup")


if __name__ == "__main__":
    main()
