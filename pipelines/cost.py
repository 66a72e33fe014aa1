"""What a training cost, reckoned from what it left: the same numbers in the tracking server and in the report."""

import statistics
from collections.abc import Iterable, Mapping
from typing import Any


def device_seconds(facts: Mapping[str, Any]) -> dict[str, float]:
    """`core_seconds` and `gpu_seconds`: seconds of training times what was held for them; without GPUs the latter is 0.

    Args:
        facts: `run.json` of a training; nothing is known before its end.
    """
    if not all(facts.get(key) is not None for key in ("seconds", "workers", "threads", "device")):
        return {}
    taken = facts["seconds"] * facts["workers"]
    gpu_seconds = taken if facts["device"].startswith("cuda") else 0.0
    return {"core_seconds": taken * facts["threads"], "gpu_seconds": gpu_seconds}


def tokens_per_second(points: Iterable[Mapping[str, Any]]) -> float | None:
    """Median over the points of the training's curve; None where it has none."""
    rates = [
        point["values"]["train/tokens_per_second"] for point in points if "train/tokens_per_second" in point["values"]
    ]
    return statistics.median(rates) if rates else None
