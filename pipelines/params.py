"""The params files as checked settings: `block(suite, name)` is all that a stage needs to know.

A suite's blocks stand in its own params file; `base`, in the root's file, is merged under each of them.
"""

import difflib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from pipelines import paths
from pipelines.tuning import space
from rnn_core.averaging import AveragingConfig
from rnn_core.config import flatten, from_mapping, merge, to_mapping
from rnn_core.errors import ConfigError
from rnn_core.optim import OptimizerConfig, ScheduleConfig

SECTIONS = ("task", "data", "model", "train", "baselines", "evaluate")
MAY = ("sweep",)
"""Sections that a block, or `base`, may do without."""
RECURRENT = "recurrent"
"""Name of the block's own training; with several seeds, of the first one, and how the others' names begin."""
FEWEST_DRAWS = 100
"""The ends of an interval are draws among the most extreme ones, of which there must be some."""


@dataclass(frozen=True, kw_only=True)
class Train:
    """How a network is trained; the same for a model and for a baseline."""

    seed: int
    dtype: Literal["float32", "float64", "bfloat16"]
    """bfloat16: of the factors of products; weights, states and sums stay float32."""
    lanes: int
    """Parallel streams of the global batch; workers divide them."""
    window: int
    """k1: steps of all lanes whose loss is found together."""
    window_spread: float = 0.0
    """Standard deviation of the windows' lengths in training, in steps; the learning rate goes with the length."""
    k2: int
    """Steps that gradient flows through, at least `window`."""
    accumulate: int = 1
    """Windows of an update, one after the other: a larger batch in the memory of one window."""
    graph: bool = False
    """On a GPU: forward and backward pass of an update as one CUDA graph (`rnn_core/graph.py`)."""
    carry: bool
    """Whether the state goes on from window to window; false cuts it (and is right for whole sequences)."""
    epochs: int
    clip: float
    """Bound on the norm of the gradient of the mean loss."""
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    averaging: AveragingConfig | None = None
    """Of the weights, which are then validated and kept as their mean; null keeps them as they are."""
    validations_per_epoch: int
    patience: int | None
    """Validations without a better score after which training stops; null never stops early."""
    keep: Literal["best", "last"] = "best"
    """The weights with the best validation score, or those at the end: of a number of epochs that was settled before,
    where the validation data are too few to tell one epoch from the next, or are trained on in the end."""
    checkpoint_steps: int
    """Updates between two training states on disk."""
    point_steps: int
    """Updates between two points of a learning curve."""

    @property
    def stored(self) -> str:
        """The type of weights and states."""
        return "float32" if self.dtype == "bfloat16" else self.dtype

    def __post_init__(self) -> None:
        counts = ("lanes", "window", "accumulate", "epochs", "validations_per_epoch", "checkpoint_steps", "point_steps")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted is a whole number from 1 on")
        if self.k2 < self.window:
            raise ValueError(f"k2 is {self.k2}, wanted is at least window, {self.window}")
        if self.graph and (self.k2 != self.window or self.accumulate != 1):
            found = f"graph is true with k2 {self.k2} and accumulate {self.accumulate}"
            raise ValueError(f"{found}: a graph holds one window, write {self.window} and 1")
        if not 0 <= self.window_spread < self.window:
            raise ValueError(f"window_spread is {self.window_spread}, wanted is a number from 0 to below window")
        if self.window_spread and self.k2 != self.window:
            raise ValueError(f"k2 is {self.k2} with windows of varying length, wanted is window, {self.window}")
        if self.keep == "last" and self.patience is not None:
            raise ValueError(f"patience is {self.patience} with keep: last, which never stops early: null is wanted")
        if self.clip <= 0:
            raise ValueError(f"clip is {self.clip}, wanted is a number above 0")
        if not self.carry and self.k2 != self.window:
            raise ValueError(f"k2 is {self.k2} with carry false: nothing flows back past a window, write {self.window}")


@dataclass(frozen=True, kw_only=True)
class Published:
    """A score from the literature."""

    score: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    metric: str
    """The one that decides."""
    published: Published | None


@dataclass(frozen=True, kw_only=True)
class Register:
    """What a model must show to become the champion in the place of another."""

    level: float
    """Of the interval of the difference between the two, which must lie wholly on the better side of 0."""
    draws: int
    """Of the test data anew from themselves, for the interval."""

    def __post_init__(self) -> None:
        if not 0.5 <= self.level < 1:
            raise ValueError(f"level is {self.level}, wanted is a share from 0.5 to below 1")
        if self.draws < FEWEST_DRAWS:
            raise ValueError(f"draws is {self.draws}, wanted is a whole number from {FEWEST_DRAWS} on")


@dataclass(frozen=True, kw_only=True)
class Training:
    """One network to train: the block's own, or one of its baselines."""

    name: str
    """`recurrent` (further seeds: `recurrent_seed2`), or the baseline's name."""
    model: dict[str, Any]
    train: Train

    def flat(self) -> dict[str, Any]:
        return flatten({"model": self.model, "train": to_mapping(self.train)})


@dataclass(frozen=True, kw_only=True)
class Block:
    """A task on a data set."""

    suite: str
    name: str
    task: str
    source: str
    """Where the raw data come from, the block's `data.from`."""
    data: dict[str, Any]
    """All other keys of `data`; `preprocess` checks them, with the task."""
    trainings: tuple[Training, ...]
    """The recurrent one first (one a seed), then the baselines."""
    evaluate: Evaluate
    register: Register
    sweep: dict[str, space.Dimension | space.Times]
    """What a sweep varies, the block's own or that of `base`; no score follows from it."""

    @property
    def recurrent(self) -> tuple[Training, ...]:
        """The recurrent network's, one for each seed."""
        return tuple(training for training in self.trainings if is_recurrent(training.name))

    @property
    def settings(self) -> str:
        """Digest of all that the block's scores follow from, but code and data themselves."""
        trainings = {training.name: training.flat() for training in self.trainings}
        what = [self.task, self.source, self.data, trainings, self.evaluate.metric]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:20]

    @property
    def dataset(self) -> str:
        """Name of the data set: that of its catalogue entry, of the user's folder or file, or `sample`."""
        return "sample" if self.source.startswith("pipelines/samples/") else Path(self.source).stem

    @property
    def experiment(self) -> str:
        return f"{self.suite}/{self.name}"


def blocks(suite: str) -> tuple[str, ...]:
    """Names of the suite's blocks."""
    return tuple(paths.block_name(str(name)) for name in _read(paths.params_file(suite))["blocks"])


def block(suite: str, name: str) -> Block:
    """One block, merged with the base and checked.

    Raises:
        ConfigError: the dotted key that is unknown, missing or of the wrong type, and what is allowed.
    """
    return parse(suite, name, written(suite, name), base(), f"{paths.params_file(suite).name}: blocks.{name}")


def written(suite: str, name: str) -> Any:
    """A block as it stands in its file.

    Raises:
        ConfigError: there is no such block.
    """
    file = paths.params_file(suite)
    known = _read(file)["blocks"]
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f" (did you mean `{close[0]}`?)" if close else ""
        raise ConfigError(f"{file.name}: blocks", f"no block {name!r}{hint}", f"there are {', '.join(known)}")
    return known[name]


def base() -> Any:
    """The defaults of all blocks of all suites, as they stand in the root's file."""
    return _read(paths.params_file("sample"))["base"]


def parse(suite: str, name: str, own: Any, base: Any, where: str) -> Block:
    """`block`, from mappings instead of files."""
    _sections(own, SECTIONS, where, MAY)
    _sections(base, ("data", "train", "register"), "params.yaml: base", MAY)
    data = merge(base["data"], _mapping(own["data"], f"{where}.data"))
    if "from" not in data:
        raise ConfigError(f"{where}.data.from", "missing", "the file or folder that the raw data come from is wanted")
    source = data.pop("from")
    if not isinstance(source, str):
        raise ConfigError(f"{where}.data.from", f"found {source!r}", "the path of a file or folder is wanted")
    trainings = _seeds(own, base, where)
    for baseline, settings in _mapping(own["baselines"], f"{where}.baselines").items():
        inner = f"{where}.baselines.{baseline}"
        _sections(settings, ("model", "train"), inner)
        model = merge(own["model"], _mapping(settings["model"], f"{inner}.model"))
        settings = {"model": model, "train": settings["train"]}
        if is_recurrent(str(baseline)):
            raise ConfigError(inner, f"a baseline named {baseline}", f"a name that does not begin with `{RECURRENT}`")
        trainings.append(_training(paths.block_name(str(baseline)), settings, base, inner))
    if not isinstance(own["task"], str):
        raise ConfigError(f"{where}.task", f"found {own['task']!r}", "the name of a file in pipelines/tasks is wanted")
    return Block(
        suite=suite,
        name=name,
        task=own["task"],
        source=source,
        data=data,
        trainings=tuple(trainings),
        evaluate=from_mapping(Evaluate, own["evaluate"], f"{where}.evaluate"),
        register=from_mapping(Register, base["register"], "params.yaml: base.register"),
        sweep=_sweep(own, base, where),
    )


def is_recurrent(training: str) -> bool:
    """Whether a training of that name is the block's own network, of whatever seed, and no baseline."""
    return training.startswith(RECURRENT)


def _sweep(own: Any, base: Any, where: str) -> dict[str, space.Dimension | space.Times]:
    """The block's own space, or that of `base`: never a mixture of the two."""
    if "sweep" in own:
        return space.parse(own["sweep"], f"{where}.sweep")
    return space.parse(base["sweep"], "params.yaml: base.sweep") if "sweep" in base else {}


def _seeds(own: Any, base: Any, where: str) -> list[Training]:
    """The block's own network: one training for each of `train.seeds`, or the one of `train.seed`."""
    train = dict(_mapping(own["train"], f"{where}.train"))
    if "seeds" not in train:
        return [_training(RECURRENT, own, base, where)]
    seeds = train.pop("seeds")
    whole = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not (whole and seeds and len(set(seeds)) == len(seeds)) or "seed" in train:
        found = f"found {seeds!r}" + (" and `seed`" if "seed" in train else "")
        raise ConfigError(f"{where}.train.seeds", found, "a list of different whole numbers, and no `seed` beside it")
    names = [RECURRENT] + [f"{RECURRENT}_seed{seed}" for seed in seeds[1:]]
    settings = [{"model": own["model"], "train": {**train, "seed": seed}} for seed in seeds]
    return [_training(name, one, base, where) for name, one in zip(names, settings, strict=True)]


def _training(name: str, settings: Any, base: Any, where: str) -> Training:
    train = merge(base["train"], _mapping(settings["train"], f"{where}.train"))
    return Training(
        name=name,
        model=dict(_mapping(settings["model"], f"{where}.model")),
        train=from_mapping(Train, train, f"{where}.train"),
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file.name}:{mark.line + 1}" if mark else file.name
        raise ConfigError(where, f"no YAML: {getattr(error, 'problem', error)}", "mend the line") from error
    except OSError as error:
        raise ConfigError(str(file), f"cannot be read: {error.strerror}", "a params file is wanted there") from error
    wanted = ("root", "suite", "own", "blocks") + (("base",) if file == paths.params_file("sample") else ())
    _sections(content, wanted, file.name)
    _mapping(content["blocks"], f"{file.name}: blocks")
    return dict(content)


def _sections(mapping: Any, wanted: tuple[str, ...], where: str, may: tuple[str, ...] = ()) -> None:
    for name in _mapping(mapping, where):
        if name not in wanted + may:
            close = difflib.get_close_matches(str(name), wanted + may, 1)
            hint = f" (did you mean `{close[0]}`?)" if close else ""
            raise ConfigError(f"{where}.{name}", f"unknown key{hint}", f"allowed are {', '.join(wanted + may)}")
    for name in wanted:
        if name not in mapping:
            raise ConfigError(f"{where}.{name}", "missing", f"wanted are {', '.join(wanted)}")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(where, f"found {value!r}", "a mapping of names to values is wanted")
    return value
