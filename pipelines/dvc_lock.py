"""What DVC knows of its outputs: `dvc.lock` of a suite."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from pipelines import paths


def md5(suite: str, out: Path) -> str | None:
    """Of an output, a folder's with `.dir`; None where the lock has none of it (yet)."""
    found = _out(suite, out)
    return None if found is None else str(found["md5"])


def size(suite: str, out: Path) -> int | None:
    """Bytes of an output; None where the lock has none of it."""
    found = _out(suite, out)
    return None if found is None else int(found["size"])


def _out(suite: str, out: Path) -> dict[str, Any] | None:
    lock = paths.params_file(suite).with_name("dvc.lock")
    if not lock.exists():
        return None
    return _outs(lock, lock.stat().st_mtime_ns).get(out.relative_to(paths.root()).as_posix())


@lru_cache(maxsize=len(paths.SUITES))
def _outs(lock: Path, _written: int) -> dict[str, dict[str, Any]]:
    """The outputs that DVC has a checksum of; read once, a quarter of a second for the sample suite."""
    stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})
    outs = (found for stage in stages.values() for found in stage.get("outs", ()))
    return {found["path"]: found for found in outs if "md5" in found}
