"""What DVC knows of its outputs: `dvc.lock` of a suite."""

from functools import lru_cache
from pathlib import Path

import yaml

from pipelines import paths


def md5(suite: str, out: Path) -> str | None:
    """Of an output, a folder's with `.dir`; None where the lock has none of it (yet)."""
    lock = paths.params_file(suite).with_name("dvc.lock")
    if not lock.exists():
        return None
    return _outs(lock, lock.stat().st_mtime_ns).get(out.relative_to(paths.root()).as_posix())


@lru_cache(maxsize=len(paths.SUITES))
def _outs(lock: Path, _written: int) -> dict[str, str]:
    """The md5 of each output; read once, a quarter of a second for the sample suite."""
    stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})
    outs = (found for stage in stages.values() for found in stage.get("outs", ()))
    return {found["path"]: str(found["md5"]) for found in outs if "md5" in found}
