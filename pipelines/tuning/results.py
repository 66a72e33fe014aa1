"""What a sweep came to: the facts of its runs, the table of trials, the winner as a block for params.yaml."""

import shutil
import sys

import yaml

from pipelines import files, params, tracking, train
from pipelines.tuning.plan import Plan, shown
from pipelines.tuning.trials import Record, Trial
from rnn_core.errors import DataError


def conclude(plan: Plan, record: Record) -> None:
    """Facts of what ended into the runs, the table of trials, the winner.

    Raises:
        DataError: there is none.
    """
    for trial in record.settled:
        if trial.folder:
            _finish(plan, trial)
    ranked = record.ranked
    print(f"\n{table(plan, record)}\n")
    if not ranked:
        whys = [trial.why for trial in record if trial.why]
        raise DataError(plan.name, f"none of {len(record)} trials came to an end: {whys[0]}", "mend the cause")
    best = ranked[0]
    text = offer(plan, best)
    files.write_text(plan.folder.parent / "winner.yaml", text)
    with files.whole_folder(plan.folder / "results") as aside:
        files.write_text(aside / "winner.yaml", text)
        files.write_text(aside / "trials.txt", table(plan, record) + "\n")
    run = files.read_json(plan.folder / "run.json")
    run |= {"status": "finished", "finished": train.now(), "best": {plan.metric: best.score}}
    run |= {"trials": len(record.settled), "seconds": sum(trial.seconds for trial in record.settled)}
    files.write_json(plan.folder / "run.json", run)
    print(f"{text}\nThis is also in {shown(plan.folder.parent / 'winner.yaml')}; params.yaml is as it was.", flush=True)


def offer(plan: Plan, best: Trial) -> str:
    """The block with the best trial's settings, as params.yaml would have it; read back before it is shown."""
    written = plan.changed(best.settings)
    suite, name = plan.block.suite, plan.block.name
    head = f"# {plan.metric} {best.score:.6g} on validation data: trial {best.number} of the sweep {plan.folder.name}\n"
    text = yaml.safe_dump({"blocks": {name: written}}, sort_keys=False, default_flow_style=None, width=110)
    params.parse(suite, name, yaml.safe_load(text)["blocks"][name], params.base(), f"winner.yaml: blocks.{name}")
    return head + text


def table(plan: Plan, record: Record) -> str:
    """All trials, the best first."""
    names = list(plan.within)
    head = ["trial", plan.metric, "validations", "seconds", *names, "state"]
    order = [*record.ranked, *(trial for trial in record if trial not in record.ranked)]
    rows = [
        [
            str(trial.number),
            "" if trial.score is None else f"{trial.score:.6g}",
            str(trial.validations),
            f"{trial.seconds:.0f}",
            *(str(trial.settings[name]) for name in names),
            trial.state + (f": {trial.why}" if trial.why else ""),
        ]
        for trial in order
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def send(plan: Plan, record: Record, count: int) -> None:
    """All runs to the tracking server, what it lacks of them; where it is away they wait."""
    try:
        tracker = tracking.connect()
        tracker.send(plan.folder)
        tracker.send_folder(plan.folder, plan.folder / "results", "sweep")
        for folder in sorted({plan.folder / trial.folder for trial in record.settled if trial.folder}):
            tracker.send(folder)
    except tracking.TrackingError as error:
        waits = f"the runs wait in {shown(plan.folder)}; `{plan.command(count)}` sends them"
        print(f"warning: {error.where}: {error.found}; {waits}", file=sys.stderr)


def _finish(plan: Plan, trial: Trial) -> None:
    """What is known of a trial at its end into its `run.json`; its training states are of no more use."""
    folder = plan.folder / trial.folder
    run = files.read_json(folder / "run.json")
    if trial.state == "finished":
        job, _ = plan.job(trial.settings, run["training"])
        train.finish(job)
    elif run["status"] == "running":
        ended = {"status": "stopped" if trial.state == "stopped" else "failed", "finished": train.now()}
        best = {} if trial.score is None else {"best": {plan.metric: trial.score}}
        files.write_json(folder / "run.json", run | ended | best | {"seconds": trial.seconds})
    shutil.rmtree(folder / "state", ignore_errors=True)
