"""Stage `evaluate`: the test data through every trained network of a block, weights frozen, and through the field's
simple baselines.

    python -m pipelines.evaluate <block> [--suite sample|public]

A stream is read in one lane, so that every step but the first is scored once and with the state that all before it
left. Writes the numbers for DVC (`metrics.json`), tables and pictures, and the score file, whose run and model version
`register` fills in.
"""

import csv
import hashlib
import io
import statistics
import time
from pathlib import Path
from typing import Any, cast

import torch

from pipelines import cli, cost, files, inside, networks, params, paths, pictures, tasks
from pipelines.score import gap_closed
from pipelines.tasks import Fan, Matrix, Picture, Simple, Table
from rnn_core.arrow import SPLITS, read_split
from rnn_core.lanes import Windows
from rnn_core.models import KINDS


def evaluate(suite: str, name: str) -> None:
    """Measure all trainings of the block on its test data.

    Raises:
        UserError: a model or the data are damaged.
    """
    block = params.block(suite, name)
    folder, arrow = paths.train(suite, name), paths.arrow(suite, name)
    runs = {training.name: files.read_json(folder / training.name / "run.json") for training in block.trainings}
    chosen = networks.chosen(folder)
    torch.set_num_threads(runs[chosen]["threads"])
    with files.whole_folder(paths.evaluation(suite, name)) as aside:
        measured = {t.name: measure(block, t, folder / t.name, arrow, aside / t.name) for t in block.trainings}
        simple = simple_baselines(block, arrow)
        numbers = compare(block, measured, simple, _limits(paths.raw(suite, name)), test_digest(arrow))
        score = score_file(block, numbers, runs, chosen)
        evaluated = {
            "trainings": {training: run["training_id"] for training, run in runs.items()},
            "chosen": chosen,
            "example": example(folder / chosen / "model", arrow, paths.raw(suite, name)),
            "score": score,
        }
        files.write_json(aside / "evaluated.json", evaluated)
    files.write_json(paths.metrics(suite, name), numbers)
    files.write_json(paths.score(suite, name), score)


def measure(block: params.Block, training: params.Training, folder: Path, arrow: Path, out: Path) -> dict[str, float]:
    """The scores of one trained network; its tables and pictures into `out`."""
    model = networks.load(folder / "model")
    windows = test_windows(model, arrow, training.train)
    sums = model.task.measure(model.network, windows, model.sidecar)
    tables: dict[str, Table | Matrix | Picture | Fan] = dict(model.task.tables(sums, model.sidecar))
    if hasattr(model.task, "analysis"):
        columns = read_split(arrow, "test", model.task.KIND)
        tables |= model.task.analysis(model.network, windows, columns, model.sidecar)
    out.mkdir()
    title = f"{block.name}, {training.name}, test data"
    if training.name == networks.chosen(folder.parent):
        tables |= inside.look(model, arrow, training.train, out, title)
    lay_out(tables, out, title)
    scores = model.task.metrics(sums, model.sidecar)
    shown = ", ".join(f"{key} {value:.4g}" for key, value in scores.items())
    print(f"{block.name}/{training.name}: test {shown}", flush=True)
    return scores


def simple_baselines(block: params.Block, arrow: Path) -> dict[str, Simple]:
    """The field's simple baselines of the task, fitted anew; what each came to is printed."""
    task = tasks.load(block.task)
    if not task.SIMPLE:
        return {}
    began = time.monotonic()
    print(f"{block.name}: fitting {', '.join(task.SIMPLE)}", flush=True)
    splits = {split: read_split(arrow, split, task.KIND) for split in SPLITS}
    found: dict[str, Simple] = dict(cast(tasks.Simply, task).simple(splits, files.read_json(arrow / "sidecar.json")))
    assert set(found) <= set(task.SIMPLE), f"{block.task}: {', '.join(found)} instead of {', '.join(task.SIMPLE)}"
    for name, simple in found.items():
        shown = ", ".join(f"{key} {value:.4g}" for key, value in simple.scores.items())
        print(f"{block.name}/{name}: test {shown} ({simple.chosen})")
    print(f"{block.name}: simple baselines took {time.monotonic() - began:.1f} s", flush=True)
    return found


def compare(
    block: params.Block,
    measured: dict[str, dict[str, float]],
    simple: dict[str, Simple],
    limits: dict[str, Any],
    digest: str,
) -> dict[str, Any]:
    """All numbers of an evaluation; where the best scores are known, also the share of the gap that each closes."""
    metric = block.evaluate.metric
    numbers: dict[str, Any] = {
        "metric": metric,
        "direction": tasks.load(block.task).METRICS[metric],
        "test_digest": digest,
        "trainings": measured,
        "simple": {name: one.scores for name, one in simple.items()},
        "limits": {key: limits[key] for key in ("best_possible", "best_memoryless") if key in limits},
    }
    if limits:
        floor, best = limits["best_memoryless"], limits["best_possible"]
        scores = measured | numbers["simple"]
        closed = {name: gap_closed(found[metric], floor, best, metric) for name, found in scores.items()}
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


def score_file(
    block: params.Block, numbers: dict[str, Any], runs: dict[str, dict[str, Any]], chosen: str
) -> dict[str, Any]:
    """The score of the recurrent network (the mean of its seeds) with all that it is to be read beside; no run or
    version yet.

    Args:
        runs: `run.json` of each training.
        chosen: the training whose model is registered.
    """
    metric, limits = numbers["metric"], numbers["limits"]
    measured = {name: scores[metric] for name, scores in (numbers["trainings"] | numbers["simple"]).items()}
    own = [measured.pop(training.name) for training in block.recurrent]
    baselines = measured
    if "best_memoryless" in limits:
        baselines["best_memoryless"] = limits["best_memoryless"]
    published = block.evaluate.published
    trained = [runs[training.name] for training in block.recurrent]
    held = [cost.device_seconds(run) for run in trained]
    return {
        "task": block.task,
        "dataset": block.dataset,
        "metric": metric,
        "direction": numbers["direction"],
        "score": statistics.fmean(own),
        "spread": {"min": min(own), "max": max(own)} if len(own) > 1 else None,
        "best_possible": limits.get("best_possible"),
        "baselines": baselines,
        "simple": list(numbers["simple"]),
        "published": None if published is None else {"score": published.score, "source": published.source},
        "seconds": round(sum(run["seconds"] for run in trained), 1),
        **{kind: round(sum(one[kind] for one in held), 1) for kind in ("core_seconds", "gpu_seconds")},
        "parameters": runs[chosen]["parameters"],
        "seeds": [training.train.seed for training in block.recurrent],
        "settings": block.settings,
        "revision": runs[chosen]["revision"],
        "run_id": None,
        "model_version": None,
    }


def test_digest(arrow: Path) -> str:
    """Names the test data, with the vocabulary that they are written in: scores on equal data compare."""
    parts = [*sorted(arrow.glob("test-*.arrow")), arrow / "sidecar.json"]
    return hashlib.sha256("".join(map(files.sha256, parts)).encode()).hexdigest()


def lay_out(tables: dict[str, Table | Matrix | Picture | Fan], folder: Path, title: str) -> None:
    """Each table as CSV, a matrix as a picture too; a table without rows is left out."""
    for name, table in tables.items():
        if isinstance(table, Picture):
            values_RC = table.values_RC.numpy()
            pictures.image(table.rows, table.columns, values_RC, folder / f"{name}.png", f"{title}: {name}")
            continue
        if isinstance(table, Fan):
            q = [one.numpy() for one in table.quantiles]
            panels = (table.titles, table.histories, q, table.actual, table.value)
            pictures.fans(*panels, folder / f"{name}.png", f"{title}: {name}")
            continue
        if isinstance(table, Matrix):
            pictures.matrix(table.names, table.counts_VV.numpy(), folder / f"{name}.png", f"{title}: {name}")
            table = [
                {"right": table.names[row], "answered": table.names[column], "count": int(count)}
                for row, counts in enumerate(table.counts_VV)
                for column, count in enumerate(counts)
                if count
            ]
        if not table:
            continue
        out = io.StringIO()
        writer = csv.DictWriter(out, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
        files.write_text(folder / f"{name}.csv", out.getvalue())


def _limits(raw: Path) -> dict[str, Any]:
    """What the generator of a sample corpus knows of the best scores; nothing for real data."""
    path = raw / "limits.json"
    return files.read_json(path) if path.exists() else {}


def example(model_folder: Path, arrow: Path, raw: Path) -> dict[str, Any]:
    """A raw input from the training data, as the served model's column has it, and the model's answer to it."""
    model = networks.load(model_folder)
    given = model.task.example_input(read_split(arrow, "train", model.task.KIND), model.sidecar, raw)
    (answer,) = model.task.answers(model.network, [given], model.sidecar)
    about = {"column": model.task.INPUT, "requirements": list(model.task.REQUIREMENTS)}
    return about | {"input": networks.to_text(given), "answer": answer}


if __name__ == "__main__":
    cli.stage_main("Measure a block's trained networks on its test data.", evaluate)
