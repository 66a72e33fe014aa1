"""The model card of a registered version (Mitchell et al. 2019: Model cards for model reporting), from what the stages
left: what it is, on whose data and under which licence, how good, for what and for what not, how it was made.
"""

import json
from typing import Any

from pipelines import dvc_lock, params, paths, tasks
from pipelines.sources import dataset
from pipelines.tracking import Card

CATALOGUE = "pipelines/sources/catalogue/"
LICENCE = "Apache-2.0"
"""Of what the generators of the sample corpora make, which is this repository's."""


def card(block: params.Block, chosen: str, run: dict[str, Any], score: dict[str, Any]) -> Card:
    """
    Args:
        chosen: the training whose model it is.
        run: its `run.json`.
        score: the score file.

    Raises:
        ConfigError: the data set's entry of the catalogue is damaged.
    """
    data, licence = _data(block)
    training = next(training for training in block.trainings if training.name == chosen)
    sections = {
        "Model": _model(block, run, score),
        "Data": f"{data} Licence: {licence}",
        "Scores": _scores(score),
        "Intended use": _use(block),
        "Limits": _limits(block, score),
        "Made by": _made(block, run),
        "Params": f"`{json.dumps(training.flat(), sort_keys=True)}`",
    }
    text = "\n\n".join([Card.BEGIN, *(f"**{title}.** {told}" for title, told in sections.items())])
    tags = {"dataset": block.dataset, "data_licence": licence, "revision": run["revision"] or "none"}
    return Card(text=text, tags=tags | {"settings": block.settings})


def _model(block: params.Block, run: dict[str, Any], score: dict[str, Any]) -> str:
    about = f"{run['kind']} by a recurrent network of `{run['cell']}` cells, {score['parameters']:,} parameters."
    return f"`{block.name}` of the suite `{block.suite}`: {about}"


def _data(block: params.Block) -> tuple[str, str]:
    """What it was trained on, and the licence of that."""
    if block.source.startswith(CATALOGUE):
        entry = dataset.load(paths.root() / block.source)
        return f"{entry.title} ({entry.homepage}). {entry.citation}.", entry.licence
    if block.source.startswith("pipelines/samples/"):
        return f"Made up by `{block.source}`, of no real person or thing.", LICENCE
    return f"The user's own, `{block.source}`.", "the user's to know"


def _scores(score: dict[str, Any]) -> str:
    seeds, spread = score["seeds"], score["spread"]
    told = f"{score['metric']} {score['score']:.5g} on the test data ({score['direction']} is best)"
    if spread is None:
        told += f", one seed ({seeds[0]}), so no spread"
    else:
        told += f", mean of {len(seeds)} seeds that lie between {spread['min']:.5g} and {spread['max']:.5g}"
    if score["best_possible"] is not None:
        told += f"; best possible {score['best_possible']:.5g}"
    told += "".join(f"; {name} {value:.5g}" for name, value in score["baselines"].items())
    if score["published"]:
        told += f"; published {score['published']['score']:.5g} ({score['published']['source']})"
    return f"{told}."


def _use(block: params.Block) -> str:
    task = tasks.load(block.task)
    what = (task.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    what_for = "To study and compare recurrent networks, and for inputs like those of the data."
    return f"{what} Takes a {task.INPUT}, as in the input example. {what_for}"


def _limits(block: params.Block, score: dict[str, Any]) -> str:
    bounds = {key: value for key, value in block.data.items() if key.startswith("max_") and key != "max_bad_share"}
    told = ", ".join(f"data.{key} {value}" for key, value in bounds.items())
    longest = f" Trained within {told}." if told else ""
    seeds = " The score of one seed says nothing about others." if score["spread"] is None else ""
    return (
        "Nothing was measured on other sources, languages or times than those of the data, nor how errors spread over "
        f"groups of people.{longest}{seeds}"
    )


def _made(block: params.Block, run: dict[str, Any]) -> str:
    outs = {"data": paths.arrow(block.suite, block.name), "training": paths.train(block.suite, block.name)}
    sums = {name: dvc_lock.md5(block.suite, out) for name, out in outs.items()}
    told = ", ".join(f"{name} {md5}" for name, md5 in sums.items() if md5) or "none"
    revision = run["revision"] or "none"
    command = f"git checkout {revision.partition('+')[0]} && make repro SUITE={block.suite} TASK={block.name}"
    return f"`{command}` (revision {revision}; md5 in dvc.lock: {told}; settings {block.settings})."
