"""A suite's results as the stages leave them, made in a moment: for tests of the report and for a look at it.

python -m tests.pipelines.reports.results FOLDER      lays them out there and writes their report
"""

import json
import math
import random
import sys
from pathlib import Path

import numpy as np
import yaml

from pipelines import files, params, paths, pictures
from pipelines.reports import page

PUBLISHED = {"score": 96.0, "source": "Someone & others <2016>"}
SCORES = {
    "pos_tagging": {
        "metric": "accuracy",
        "score": 95.75,
        "spread": {"min": 95.5, "max": 96.0},
        "best_possible": 96.5,
        "baselines": {"memoryless": 74.25, "best_memoryless": 74.0, "feature_tagger": 90.0},
        "simple": ["feature_tagger"],
        "published": PUBLISHED,
    },
    "language_model": {
        "metric": "perplexity",
        "direction": "min",
        "score": 1.607,
        "best_possible": 1.538,
        "baselines": {"memoryless": 5.233, "carry_cut": 1.9, "best_memoryless": 5.2},
    },
    "translation": {"metric": "bleu", "score": 97.4, "best_possible": 100.0, "baselines": {"memoryless": 0.0}},
}
"""The last one has been measured elsewhere only; a fourth block, `sentiment`, nowhere."""
TRAININGS = {
    "pos_tagging": {"recurrent": "gru", "recurrent_seed2": "gru", "memoryless": "memoryless"},
    "language_model": {"recurrent": "lstm", "carry_cut": "lstm", "memoryless": "memoryless"},
}
HOW_FAST = {"memoryless": 0.9, "carry_cut": 0.25}
"""What is left of the loss in the end."""


def lay_out(root: Path) -> Path:
    """A checkout's params and data below `root`."""
    blocks = [*SCORES, "sentiment"]
    settings = {"root": ".", "suite": "sample", "own": "params.yaml", "base": {}, "blocks": dict.fromkeys(blocks)}
    files.write_text(root / "params.yaml", yaml.safe_dump(settings))
    for block, own in SCORES.items():
        files.write_json(root / f"data/scores/sample/{block}.json", score(block) | own)
    for block, trainings in TRAININGS.items():
        folder = root / f"data/runs/sample/{block}"
        for name, cell in trainings.items():
            training(folder / "train" / name, block, cell)
        files.write_json(folder / "train/chosen.json", {"training": "recurrent"})
        evaluation(folder / "evaluation/recurrent", block)
    return root


def score(block: str) -> dict[str, object]:
    return {
        "task": block,
        "dataset": "sample",
        "direction": "max",
        "published": None,
        "seconds": 41.7,
        "parameters": 123456,
        "seeds": [1, 2],
        "revision": "0123456789abcdef",
        "run_id": "f00",
        "model_version": 3,
    }


def training(folder: Path, block: str, cell: str) -> None:
    """Facts and curves; the losses fall, faster with a memory."""
    about = {"training": folder.name, "cell": cell, "block": block, "seconds": 60.5, "steps": 800, "epochs": 4.0}
    about |= {"workers": 2, "threads": 3, "device": "cpu", "parameters": 123456, "status": "finished"}
    files.write_json(folder / "run.json", about)
    rng = random.Random(folder.name)
    lines = []
    for step in range(20, 801, 20):
        loss = 3 * (HOW_FAST.get(folder.name, 0.1) + math.exp(-step / 150))
        lines.append(point(step, {"train/loss": loss * rng.uniform(0.9, 1.1), "train/tokens_per_second": 9000.0}))
        if step % 100 == 0:
            metric, value = ("accuracy", 97 - 12 * loss) if block == "pos_tagging" else ("perplexity", math.exp(loss))
            lines.append(point(step, {"validation/loss": loss, f"validation/{metric}": value}))
    files.write_text(folder / "points.jsonl", "".join(lines))


def point(step: int, values: dict[str, float]) -> str:
    return json.dumps({"step": step, "time": 0, "seconds": step / 13, "values": values}) + "\n"


def evaluation(folder: Path, block: str) -> None:
    """Pictures such as the evaluation draws."""
    folder.mkdir(parents=True)
    names = [f"<{name}>" for name in ("DET", "NOUN", "VERB", "ADJ")]
    counts_VV = np.random.default_rng(0).integers(0, 9, (4, 4)) + np.diag([90, 80, 70, 60])
    pictures.matrix(names, counts_VV.astype(np.float64), folder / "confusion.png", f"{block}: confusion")
    shares_RC = np.random.default_rng(1).random((12, 30))
    pictures.image(list("abcdefghijkl"), [f"w{i}" for i in range(30)], shares_RC, folder / "attention_0.png", block)


if __name__ == "__main__":
    paths.REPOSITORY = lay_out(Path(sys.argv[1]))
    assert params.blocks("sample")
    files.write_text(paths.report("sample"), page.page("sample"))
    print(paths.report("sample"))
