"""Sales forecasting: the next values of many series, as quantiles, from their past and from what is known ahead.

M4 (Makridakis et al. 2020): OWA 0.440 hourly and 0.851 weekly by the winner's ensemble, 0.615 and 0.952 by one network
of its kind reimplemented. Points are medians; intervals and CRPS are by the quantiles LEVELS.

Own data: CSV, in one of the layouts of `pipelines.parsers.series`, with its columns named in `data.table`: `long` (a
row a time of a series, with covariates), `table` (a row a time, a column a series) or `rows` (a row a series, no
times). Validation and test are the newest steps of each series, by `data.validation` and `data.test`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from pipelines.parsers import series as tables_of
from pipelines.parsers.moments import add, moments, standardised
from pipelines.parsers.series import Series, Unreadable
from pipelines.parsers.splits import Cuts, Example, example, examples, with_calendar, without_gaps
from pipelines.rivals import forecasts as rivals
from pipelines.rivals.forecasts import RIVALS
from pipelines.tasks import BadRecord, Counts, Fan, Item, Matrix, Row, Sidecar, Simple, Sums, Table, Where
from rnn_core import arrow
from rnn_core.config import from_mapping
from rnn_core.errors import ConfigError, DataError
from rnn_core.lanes import Windows
from rnn_core.metrics import outcomes
from rnn_core.metrics.outcomes import Outcomes
from rnn_core.models import forecasting
from rnn_core.networks import Network
from rnn_core.series import rollout
from rnn_core.series.windows import SHOWN_BEFORE

KIND = "forecasting"
RAW: Literal["text", "aligned", "items"] = "items"
INPUT: Literal["text", "file", "table"] = "table"
SIMPLE = RIVALS
METRICS: dict[str, Literal["max", "min"]] = {
    "mase": "min",
    "smape": "min",
    "owa": "min",
    "crps": "min",
    "weighted_quantile_loss": "min",
    "coverage_80": "max",
}
REQUIREMENTS: tuple[str, ...] = ()
LEVELS = tuple(k / 10 for k in range(1, 10))
DRAWS, SEED = 200, 1
"""Sampled paths of a forecast, where the head has no formula."""
WORST = 20
"""Forecasts shown of those that missed most."""
PANELS = 6
EXAMPLE_ROWS = 200
ANSWER_LANES = 16
TOLD = {"naive2": "naive2_TBS", "units": "unit_TB", "series": "series_TB", "seen": "age_TB", "before": "before_TBP"}
"""What is kept of an origin, and the field that says it."""
UNKNOWN = "<unk>"
FILES: dict[str, tuple[str, ...]] = {
    "m4_hourly": ("Hourly-train.csv", "Hourly-test.csv"),
    "m4_weekly": ("Weekly-train.csv", "Weekly-test.csv"),
}
"""Data sets whose series go on from file to file, oldest values first."""


@dataclass(frozen=True, kw_only=True)
class Lags:
    """The past values that a step sees."""

    recent: int
    """The last so many, the present one included."""
    further: tuple[int, ...] = ()
    """And those so many steps ago."""

    def __post_init__(self) -> None:
        if self.recent < 1 or list(self.all) != sorted(set(self.all)):
            raise ValueError(f"recent is {self.recent}, further {list(self.further)}: from 1 on, then rising")

    @property
    def all(self) -> tuple[int, ...]:
        return (*range(self.recent), *self.further)


@dataclass(frozen=True, kw_only=True)
class Data(Cuts):
    lags: Lags
    negative: Literal["keep", "refuse"]
    """Values below 0: as they are, or bad records, whose value is a gap."""
    rivals: tuple[Literal["seasonal_naive", "auto_ets", "auto_theta", "mstl_ets"], ...]
    """Simple baselines that are fitted at each origin of the test."""
    rivals_season: int
    """Steps of their season, which may be another one than MASE's."""


def items(raw: Path, dataset: str, files: Mapping[str, Path] | None, data: Data) -> Iterator[Item | BadRecord]:
    """All files together, because a series may go on in the next one.

    Raises:
        ConfigError: `data.files` names splits: series are split by time.
    """
    if files is not None:
        raise ConfigError("data.files", "found a file for each split", "none: data.test and data.validation split")
    names = FILES.get(dataset) or sorted(path.name for path in raw.glob("*.csv"))
    yield Item(dataset, tuple(raw / name for name in names), None)


def read(item: Item, where: Where, data: Data) -> Iterator[Example | BadRecord]:
    parts: dict[str, list[Series]] = {}
    for path in item.paths:
        for found in tables_of.read(_lines(path.read_bytes()), data.table, path.name):
            if isinstance(found, Unreadable):
                yield BadRecord(found.where, found.found, found.allowed, found.text, "train")
            else:
                parts.setdefault(found.name, []).append(found)
    for some in parts.values():
        series = tables_of.joined(some)
        try:
            if data.negative == "refuse":
                yield from (_negative(series, int(step)) for step in np.flatnonzero(series.values < 0))
                series = replace(series, values=np.where(series.values < 0, np.nan, series.values))
            yield from examples(series, data)
        except DataError as error:
            yield BadRecord(error.where, error.found, error.allowed, series.name, "train")


def count(examples: Iterable[Example]) -> Counts:
    """Names, categories, and sums of the values and covariates."""
    counts: Counts = {"series": Counter(), "values": Counter()}
    for one in examples:
        counts["series"][one.name] += 1
        add(counts["values"], np.abs(one.values))
        for number, category in enumerate(one.static):
            counts.setdefault(f"static {number}", Counter())[category] += 1
        for kind, columns in (("known", one.known[: len(one.values)]), ("past", one.past)):
            for number, column in enumerate(columns.T):
                add(counts.setdefault(f"{kind} {number}", Counter()), column)
    return counts


def sidecar(counts: Counts, data: Data) -> dict[str, Any]:
    """series: names by number (0 is unknown), static: likewise for each category; unit: mean size of a value; known,
    past: mean and width of each covariate; lags: all of them; data: the block's settings."""
    unit, _ = moments(counts["values"])

    def of(kind: str) -> list[Counter[str]]:
        return [counts[key] for key in sorted(counts, key=lambda key: (len(key), key)) if key.startswith(f"{kind} ")]

    return {
        "series": [UNKNOWN, *sorted(counts["series"])],
        "static": [[UNKNOWN, *sorted(categories)] for categories in of("static")],
        "unit": unit or 1.0,
        "known": [moments(column) for column in of("known")],
        "past": [moments(column) for column in of("past")],
        "lags": list(data.lags.all),
        "data": asdict(data),
    }


def encoder(sidecar: Sidecar) -> Callable[[Example], Row]:
    series = {name: number for number, name in enumerate(sidecar["series"])}
    static = [{name: number for number, name in enumerate(names)} for names in sidecar["static"]]

    def encode(one: Example) -> Row:
        return {
            "values": one.values,
            "known": standardised(one.known, sidecar["known"]),
            "past": standardised(one.past, sidecar["past"]),
            "static": [ids.get(name, 0) for ids, name in zip(static, one.static, strict=True)],
            "origins": one.origins,
            "units": one.units,
            "naive2": one.naive2,
            "lags": sidecar["lags"],
            "horizon": sidecar["data"]["horizon"],
            "series": series.get(one.name, 0),
        }

    return encode


def raw_example(given: str, sidecar: Sidecar) -> list[Example]:
    """The series of a table like the block's own; a forecast of each begins behind its last value.

    Rows without a value behind the last one tell covariates that are known ahead.

    Raises:
        DataError: a row cannot be read, or there is none.
    """
    data, found = from_mapping(Data, sidecar["data"], "data"), []
    for series in tables_of.read(given.splitlines(), data.table, "input"):
        if isinstance(series, Unreadable):
            raise DataError(series.where, series.found, series.allowed)
        end = len(series.values)
        found.append(example(series, with_calendar(series, data, end + data.horizon), data, "test", end, (end,)))
    if not found:
        raise DataError("input", "a table without values", "a header and a row for each value")
    return found


def example_input(columns: arrow.Columns, sidecar: Sidecar, raw: Path) -> str:
    """The beginning of the raw table's first file: enough rows for a few forecasts."""
    path = sorted(raw.glob("*.csv"))[0]
    lines = _lines(path.read_bytes())
    return "\n".join(lines[: 2 if sidecar["data"]["table"]["layout"] == "rows" else EXAMPLE_ROWS]) + "\n"


def sizes(config: forecasting.Config, sidecar: Sidecar) -> forecasting.Sizes:
    return forecasting.Sizes(
        horizon=sidecar["data"]["horizon"],
        lags=tuple(sidecar["lags"]),
        known=len(sidecar["known"]),
        past=len(sidecar["past"]),
        static=tuple(len(names) for names in sidecar["static"]),
        unit=sidecar["unit"],
    )


def measure(network: Network, windows: Windows, sidecar: Sidecar) -> Sums:
    """Of each origin: its forecast, what came, and what errors are measured by; 0 where another worker has it."""
    steps, origins = sidecar["data"]["horizon"], int(windows(0).fields["num_origins"])
    shapes = {"quantiles": (steps, len(LEVELS)), "targets": (steps,), "naive2": (steps,)}
    shapes |= {"units": (), "series": (), "seen": (), "before": (SHOWN_BEFORE * steps,)}
    sums = {name: torch.zeros(origins, *shape, dtype=torch.float64) for name, shape in shapes.items()}
    loss = torch.zeros(2, dtype=torch.float64)
    carry = network.initial_carry(windows.width)
    for one in rollout.forecasts(network, windows, carry, levels=LEVELS, draws=DRAWS, seed=SEED):
        sums["quantiles"][one.number], sums["targets"][one.number] = one.quantiles_SQ, one.targets_S
        for name, field in TOLD.items():
            sums[name][one.number] = one.fields[field][0, 0]
        loss += torch.stack([one.loss, torch.tensor(float(one.count), dtype=torch.float64)])
    return {**sums, "loss": loss}


def metrics(sums: Sums, sidecar: Sidecar) -> dict[str, float]:
    return {"loss": float(sums["loss"][0] / sums["loss"][1].clamp(min=1)), **_outcomes(sums).scores()}


def simple(splits: Mapping[str, arrow.Columns], sidecar: Sidecar) -> dict[str, Simple]:
    """Each rival that the block names, fitted before the first origin of the test split; nothing is chosen."""
    columns, data = splits["test"], from_mapping(Data, sidecar["data"], "data")
    rows = [columns["values"][row].astype(np.float64) for row in range(columns.num_rows)]
    seen = [columns["origins"][row].tolist() for row in range(columns.num_rows)]
    targets = [row[origin : origin + data.horizon] for row, some in zip(rows, seen, strict=True) for origin in some]
    units, naive2 = (columns[name].values.astype(np.float64) for name in ("units", "naive2"))
    found: dict[str, Simple] = {}
    for name in data.rivals:
        quantiles = [
            rivals.forecasts(name, without_gaps(row), some, data.rivals_season, data.horizon, LEVELS)
            for row, some in zip(rows, seen, strict=True)
        ]
        all_of_them = np.concatenate(quantiles)
        outcomes_of = Outcomes(all_of_them, np.stack(targets), units, naive2.reshape(-1, data.horizon), LEVELS)
        chosen = f"fitted to {len(rows)} series, a season of {data.rivals_season} steps"
        found[name] = Simple(outcomes_of.scores(), chosen)
    return found


def tables(sums: Sums, sidecar: Sidecar) -> dict[str, Table | Matrix | Fan]:
    """Errors by steps ahead; the forecasts that missed most, and as pictures those and some of all."""
    found = _outcomes(sums)
    smape_O, mase_O, crps_O = (outcomes.mean(errors, 1) for errors in (found.smape_OS, found.mase_OS, found.crps_OS))
    worst = np.argsort(np.nan_to_num(mase_O, nan=-1.0), kind="stable")[::-1][:WORST]
    rows = [
        {
            "series": sidecar["series"][int(sums["series"][o])],
            "values_seen": int(sums["seen"][o]) + 1,
            "mase": float(mase_O[o]),
            "smape": float(smape_O[o]),
            "crps": float(crps_O[o]),
        }
        for o in worst
    ]
    return {
        "errors_by_step": found.by_step(),
        "largest_errors": rows,
        "forecasts_missed_most": _fan(sums, sidecar, worst[:PANELS]),
        "forecasts": _fan(sums, sidecar, np.linspace(0, len(mase_O) - 1, min(PANELS, len(mase_O))).astype(int)),
    }


def _fan(sums: Sums, sidecar: Sidecar, origins: Iterable[int]) -> Fan:
    """These forecasts behind the values before them."""
    chosen = [int(o) for o in origins]
    names = [sidecar["series"][int(sums["series"][o])] for o in chosen]
    return Fan(
        titles=[f"{name}, {int(sums['seen'][o]) + 1} values seen" for name, o in zip(names, chosen, strict=True)],
        histories=[sums["before"][o].flip(0).tolist() for o in chosen],
        quantiles=[sums["quantiles"][o] for o in chosen],
        actual=[sums["targets"][o].tolist() for o in chosen],
        value=sidecar["data"]["table"].get("value") or "value",
    )


@torch.no_grad()
def answers(network: Network, inputs: list[str], sidecar: Sidecar) -> list[dict[str, Any]]:
    """`forecasts` of each table: series, the times foretold (or numbers of steps), and their quantiles by level."""
    return [{"forecasts": _foretold(network, raw_example(given, sidecar), sidecar)} for given in inputs]


def _foretold(network: Network, examples: list[Example], sidecar: Sidecar) -> list[dict[str, Any]]:
    encode = encoder(sidecar)
    columns = arrow.from_rows([encode(one) for one in examples], KIND)
    # A lane that holds all of a series is what a state carried from its beginning comes to.
    longest = network.model.config.context or max(len(one.values) for one in examples)
    lanes = min(len(examples), ANSWER_LANES)
    filling = forecasting.filling(columns, lanes=lanes, window=longest, seed=None, carries=False)
    windows = Windows(filling=filling, assemble=forecasting.assemble(columns), lanes=slice(0, lanes))
    foretold = []
    carry = network.initial_carry(lanes)
    for one in rollout.forecasts(network, windows, carry, levels=LEVELS, draws=DRAWS, seed=SEED):
        asked = examples[one.number]
        quantiles = {str(level): q_S.tolist() for level, q_S in zip(LEVELS, one.quantiles_SQ.t(), strict=True)}
        foretold.append({"series": asked.name, "steps": list(asked.ahead), "quantiles": quantiles})
    return foretold


def _outcomes(sums: Sums) -> Outcomes:
    quantiles, targets, units, naive2 = (sums[name].numpy() for name in ("quantiles", "targets", "units", "naive2"))
    return Outcomes(quantiles, targets, units, naive2, LEVELS)


def _lines(content: bytes) -> list[str]:
    """Of a table; bytes that are no UTF-8 stand as marks, in which no number can be read."""
    return content.decode("utf-8-sig", errors="replace").splitlines()


def _negative(series: Series, step: int) -> BadRecord:
    found = f"{series.values[step]:g} at step {step + 1} of {series.name}"
    return BadRecord(series.where, found, "values from 0 on (data.negative)", series.name, "train")
