"""What DVC knows of its outputs: `dvc.lock` of a suite."""

from pathlib import Path

import yaml

from pipelines import paths


def md5(suite: str, out: Path) -> str | None:
    """Of an output, a folder's with `.dir`; None where the lock has none of it (yet)."""
    lock = paths.params_file(suite).with_name("dvc.lock")
    wanted = out.relative_to(paths.root()).as_posix()
    stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {}) if lock.exists() else {}
    outs = (found for stage in stages.values() for found in stage.get("outs", ()))
    return next((str(found["md5"]) for found in outs if found["path"] == wanted and "md5" in found), None)
