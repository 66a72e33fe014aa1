"""Stage `evaluate`: the test data through every trained network of a block, weights frozen.

    python -m pipelines.evaluate <block> [--suite sample|public]

A stream is read in one lane, so that every step but the first is scored once and with the state that all before it
left. Writes the numbers for DVC (`metrics.json`), tables and pictures, and the score file, whose run and model version
`register` fills in.
"""

import csv
import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from pipelines import cli, files, inside, networks, params, paths, pictures, tasks
from pipelines.score import gap_closed
from pipelines.tasks import Matrix, Table
from rnn_core.arrow import read_split
from rnn_core.lanes import Windows
from rnn_core.models import KINDS

RECURRENT = "recurrent"


def evaluate(suite: str, name: str) -> None:
    """Measure all trainings of the block on its test data.

    Raises:
        UserError: a model or the data are damaged.
    """
    block = params.block(suite, name)
    folder, arrow = paths.train(suite, name), paths.arrow(suite, name)
    runs = {training.name: files.read_json(folder / training.name / "run.json") for training in block.trainings}
    torch.set_num_threads(runs[RECURRENT]["threads"])
    with files.whole_folder(paths.evaluation(suite, name)) as aside:
        measured = {t.name: measure(block, t, folder / t.name, arrow, aside / t.name) for t in block.trainings}
        numbers = compare(block, measured, _limits(paths.raw(suite, name)), test_digest(arrow))
        score = score_file(block, numbers, runs[RECURRENT])
        evaluated = {
            "trainings": {training: run["training_id"] for training, run in runs.items()},
            "example": _example(folder / RECURRENT / "model", arrow),
            "score": score,
        }
        files.write_json(aside / "evaluated.json", evaluated)
    files.write_json(paths.metrics(suite, name), numbers)
    files.write_json(paths.score(suite, name), score)


def measure(block: params.Block, training: params.Training, folder: Path, arrow: Path, out: Path) -> dict[str, float]:
    """The scores of one trained network; its tables and pictures into `out`."""
    model = networks.load(folder / "model")
    sums = model.task.measure(model.network, test_windows(model, arrow, training.train), model.sidecar)
    out.mkdir()
    title = f"{block.name}, {training.name}, test data"
    tables = model.task.tables(sums, model.sidecar)
    if training.name == RECURRENT:
        tables |= inside.look(model, arrow, training.train, out, title)
    lay_out(tables, out, title)
    scores = model.task.metrics(sums, model.sidecar)
    shown = ", ".join(f"{key} {value:.4g}" for key, value in scores.items())
    print(f"{block.name}/{training.name}: test {shown}", flush=True)
    return scores


def compare(
    block: params.Block, measured: dict[str, dict[str, float]], limits: dict[str, Any], digest: str
) -> dict[str, Any]:
    """All numbers of an evaluation; where the best scores are known, also the share of the gap that each closes."""
    metric = block.evaluate.metric
    numbers: dict[str, Any] = {
        "metric": metric,
        "direction": tasks.load(block.task).METRICS[metric],
        "test_digest": digest,
        "trainings": measured,
        "limits": {key: limits[key] for key in ("best_possible", "best_memoryless") if key in limits},
    }
    if limits:
        floor, best = limits["best_memoryless"], limits["best_possible"]
        closed = {name: gap_closed(scores[metric], floor, best, metric) for name, scores in measured.items()}
        numbers["gap_closed"] = closed
        shown = ", ".join(f"{name} {100 * share:.1f} %" for name, share in closed.items())
        print(f"{block.name}: best without memory {floor:.4g}, best possible {best:.4g}; of the gap between: {shown}")
    return numbers


def test_windows(model: networks.Model, arrow: Path, train: params.Train) -> Windows:
    """The test data as windows: one lane where the carry goes on, as in training where it does not."""
    kind = KINDS[model.task.KIND]
    columns = read_split(arrow, "test", model.task.KIND)
    lanes = 1 if train.carry else train.lanes
    filling = kind.filling(columns, lanes=lanes, window=train.window, seed=None, carries=train.carry)
    return Windows(filling=filling, assemble=kind.assemble(columns), lanes=slice(0, lanes))


def score_file(block: params.Block, numbers: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """The score of the recurrent network with all that it is to be read beside; no run or version yet."""
    metric, measured, limits = numbers["metric"], numbers["trainings"], numbers["limits"]
    baselines = {name: scores[metric] for name, scores in measured.items() if name != RECURRENT}
    if "best_memoryless" in limits:
        baselines["best_memoryless"] = limits["best_memoryless"]
    published = block.evaluate.published
    return {
        "task": block.task,
        "dataset": block.dataset,
        "metric": metric,
        "direction": numbers["direction"],
        "score": measured[RECURRENT][metric],
        "best_possible": limits.get("best_possible"),
        "baselines": baselines,
        "published": None if published is None else {"score": published.score, "source": published.source},
        "seconds": round(run["seconds"], 1),
        "parameters": run["parameters"],
        "seeds": [block.trainings[0].train.seed],
        "revision": run["revision"],
        "run_id": None,
        "model_version": None,
    }


def test_digest(arrow: Path) -> str:
    """Names the test data, with the vocabulary that they are written in: scores on equal data compare."""
    parts = [*sorted(arrow.glob("test-*.arrow")), arrow / "sidecar.json"]
    return hashlib.sha256("".join(map(files.sha256, parts)).encode()).hexdigest()


def lay_out(tables: dict[str, Table | Matrix], folder: Path, title: str) -> None:
    """Each table as CSV; a matrix as a picture too."""
    for name, table in tables.items():
        if isinstance(table, Matrix):
            pictures.matrix(table.names, table.counts_VV.numpy(), folder / f"{name}.png", f"{title}: {name}")
            table = [
                {"right": table.names[row], "answered": table.names[column], "count": int(count)}
                for row, counts in enumerate(table.counts_VV)
                for column, count in enumerate(counts)
                if count
            ]
        out = io.StringIO()
        writer = csv.DictWriter(out, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
        files.write_text(folder / f"{name}.csv", out.getvalue())


def _limits(raw: Path) -> dict[str, Any]:
    """What the generator of a sample corpus knows of the best scores; nothing for real data."""
    path = raw / "limits.json"
    return files.read_json(path) if path.exists() else {}


def _example(model_folder: Path, arrow: Path) -> dict[str, Any]:
    """A raw input made from the training data, and the model's answer to it."""
    model = networks.load(model_folder)
    text = model.task.example_text(read_split(arrow, "train", model.task.KIND), model.sidecar)
    return {"text": text, "answer": model.task.answers(model.network, [text], model.sidecar)[0]}


if __name__ == "__main__":
    cli.stage_main("Measure a block's trained networks on its test data.", evaluate)
