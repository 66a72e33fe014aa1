"""What a training cost, reckoned from what it left: the same numbers in the tracking server and in the report."""

import statistics
from collections.abc import Iterable, Mapping
from typing import Any


def device_seconds(facts: Mapping[str, Any]) -> dict[str, float]:
    """`core_seconds`, or `gpu_seconds` where GPUs computed: seconds of training times what was held for them.

    Args:
        facts: `run.json` of a training; nothing is known before its end.
    """
    if not all(facts.get(key) is not None for key in ("seconds", "workers", "threads")):
        return {}
    if str(facts.get("device", "cpu")).startswith("cpu"):
        return {"core_seconds": facts["seconds"] * facts["workers"] * facts["threads"]}
    return {"gpu_seconds": facts["seconds"] * facts["workers"]}


def tokens_per_second(points: Iterable[Mapping[str, Any]]) -> float | None:
    """Median over the points of the training's curve; None where it has none."""
    rates = [
        point["values"]["train/tokens_per_second"] for point in points if "train/tokens_per_second" in point["values"]
    ]
    return statistics.median(rates) if rates else None
