"""How a sweep chooses and cuts: Ray Tune, which runs trials side by side, with Optuna's search and ASHA.

The search (TPE, Bergstra et al. 2011) suggests settings from the scores of the trials before; asynchronous successive
halving (Li et al. 2020) stops a trial whose score is not among the best third of those that came so far. A trial is a
training on the workers of `cluster.run`; what it tells Tune it reads from the training's own points.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Protocol

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from pipelines import cluster, files, locks, tasks, worker
from pipelines.job import Job
from pipelines.tuning import space, trials
from pipelines.tuning.space import Choices, Dimension, Space
from pipelines.tuning.trials import Trial
from rnn_core.errors import UserError

REDUCTION = 3
"""One in so many goes on past a rung; the rungs are the 1st, 3rd, 9th ... validation."""
LOOK_SECONDS = 0.3

Direction = Literal["max", "min"]


class Board(Protocol):
    """Who writes down what happens; all calls come from the driver's main thread."""

    def begin(self, settings: dict[str, Any], suggested: dict[str, Any]) -> tuple[Trial, Job | None]:
        """A trial is about to start; without a job where its settings cannot be trained with.

        Args:
            suggested: the settings as the search has them, to be given back to it (`Trial.suggested`).
        """
        ...

    def score(self, trial: Trial, score: float, validations: int) -> None:
        """It has validated."""
        ...

    def end(self, trial: Trial, broken: bool) -> None:
        """It is over: its folder says how, unless the process that watched it broke down."""
        ...


def search(
    within: Space,
    board: Board,
    *,
    before: Sequence[tuple[Trial, Sequence[float]]],
    again: Sequence[Trial],
    first: Sequence[Mapping[str, Any]],
    count: int,
    at_once: int,
    seed: int,
    direction: Direction,
    resources: cluster.Resources,
    storage: Path,
) -> None:
    """Try `count` more sets of settings; in a session that `cluster.joined` made.

    Args:
        before: the trials that are settled, each with its score after each validation.
        again: those that were interrupted; they come first.
        first: settings that are tried before the search suggests any.
        seed: of the search; suggestion n follows from it, n and the scores so far.
        storage: for what Tune writes; of no use afterwards.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    suggestions = _Suggestions(within, board, before, again, first, direction, seed)
    halving = _Halving(
        time_attr="validations",
        metric="score",
        mode=direction,
        max_t=_LONGEST,
        reduction_factor=REDUCTION,
        stop_last_trials=False,
    )
    for trial, scores in before:
        halving.before(f"before-{trial.number}", scores)
    tuner = tune.Tuner(
        tune.with_resources(_trial, {"CPU": 0, "memory": 1}),  # the workers take the cores; Tune wants something
        param_space={"resources": resources},
        tune_config=tune.TuneConfig(
            search_alg=ConcurrencyLimiter(suggestions, at_once),
            scheduler=halving,
            num_samples=count,
        ),
        run_config=tune.RunConfig(
            name="tune", storage_path=str(storage), callbacks=[_Relay(board, suggestions)], verbose=0
        ),
    )
    tuner.fit()


_LONGEST = 1_000_000
"""Validations after which ASHA would end a trial by itself: never, a training ends when it is finished."""


class _Suggestions(OptunaSearch):
    """Optuna's, each written down before it is tried."""

    def __init__(
        self,
        within: Space,
        board: Board,
        before: Sequence[tuple[Trial, Sequence[float]]],
        again: Sequence[Trial],
        first: Sequence[Mapping[str, Any]],
        direction: Direction,
        seed: int,
    ):
        self._within, self._board = within, board
        self.under_way: dict[str, Trial] = {}
        storage = optuna.storages.InMemoryStorage()
        super().__init__(
            study_name="sweep",
            storage=storage,
            space={name: _distribution(dimension) for name, dimension in within.items()},
            metric="score",
            mode=direction,
            sampler=_Numbered(seed),
        )
        for trial, _ in before:
            self.add_evaluated_point(trial.suggested, trial.score or 0.0, error=trial.score is None)
        study = optuna.load_study(study_name="sweep", storage=storage)
        for suggested in (*(trial.suggested for trial in again), *map(self._encoded, first)):
            study.enqueue_trial(suggested)  # not by `points_to_evaluate`, which would stand before those

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        suggested = super().suggest(trial_id) or {}
        settings = {name: _decoded(dimension, suggested[name]) for name, dimension in self._within.items()}
        trial, job = self._board.begin(settings, suggested)
        self.under_way[trial_id] = trial
        return {"job": job}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what a sweep goes on from is its record."""
        Path(checkpoint_path).touch()

    def _encoded(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _encoded(dimension, settings[name]) for name, dimension in self._within.items()}


class _Numbered(optuna.samplers.BaseSampler):
    """TPE whose draws for trial n depend on the seed, n and the scores so far, not on what this process drew before:
    a sweep that is taken up again suggests what it would have suggested."""

    def __init__(self, seed: int):
        self._seed = seed
        self._tpe = optuna.samplers.TPESampler(seed=seed)

    def before_trial(self, study: Any, trial: Any) -> None:
        self._tpe = optuna.samplers.TPESampler(seed=self._seed + trial.number)
        self._tpe.before_trial(study, trial)

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)


class _Relay(tune.Callback):
    """Tune's events as the board's."""

    def __init__(self, board: Board, suggestions: _Suggestions):
        self._board, self._under_way = board, suggestions.under_way

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        if "score" in result:
            self._board.score(self._under_way[trial.trial_id], result["score"], result["validations"])

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._board.end(self._under_way.pop(trial.trial_id), broken=False)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._board.end(self._under_way.pop(trial.trial_id), broken=True)


class _Halving(ASHAScheduler):
    """ASHA that asks a trial to stop and lets it go on until it has: workers first. Tune would end the trial's process
    at once, and the cores of the workers that it had started would stay taken as long as the session lasts."""

    def before(self, name: str, scores: Sequence[float]) -> None:
        """The scores of a trial before, as if it came by now."""
        stand_in: Any = SimpleNamespace(trial_id=name)
        nobody: Any = None
        self.on_trial_add(nobody, stand_in)
        for number, score in enumerate(scores, 1):
            super().on_trial_result(nobody, stand_in, {"validations": number, "score": score})

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if super().on_trial_result(tune_controller, trial, result) == self.STOP:
            _stop(trial.config["job"]).touch()
        return self.CONTINUE


def _stop(job: Job) -> Path:
    """The file that asks a trial to stop; it looks after each score that it tells, before it goes on."""
    return job.folder / "stop"


def _trial(config: dict[str, Any]) -> None:
    """One trial, in a process of Tune: its training by the workers, its validations told as they come.

    What an interrupted sweep left is told before any worker starts, so that a trial that is cut by it costs nothing.
    The last validation waits until the training is whole: ASHA may cut a trial only where that saves something.
    """
    job: Job | None = config["job"]
    if job is None:
        return
    with locks.held(job.folder / "trial.lock"):  # whoever has the same settings waits, and then finds them trained
        _stop(job).unlink(missing_ok=True)
        telling = _Telling(job)
        if telling.goes_on():
            training = cluster.begin(_train, job, config["resources"])
            while cluster.goes_on(training, LOOK_SECONDS):
                if not telling.goes_on():
                    cluster.abort(training)
                    return
            telling.goes_on()


class _Telling:
    """A training's validations, told to Tune once each."""

    def __init__(self, job: Job):
        self._job, self._told = job, 0
        self._direction = tasks.load(job.task).METRICS[job.metric]
        self._before_last = job.train.epochs * job.train.validations_per_epoch - 1

    def goes_on(self) -> bool:
        """Tell what is new. Returns whether there is more to train, as far as Tune and the folder say."""
        whole = (self._job.folder / "finished.json").exists()
        scores = trials.standings(self._job, self._direction)
        for score in scores[self._told : None if whole else self._before_last]:
            self._told += 1
            tune.report({"score": score, "validations": self._told})
            if _stop(self._job).exists():
                return False
        return not whole


def _train(job: Job, resources: cluster.Resources) -> None:
    try:
        cluster.run(worker.train_all, [job], name=job.key, storage=job.folder / "ray", resources=resources)
    except UserError as error:
        if not list(job.folder.glob("error-*.json")):
            told = {"type": type(error).__name__, "where": error.where, "found": error.found, "allowed": error.allowed}
            files.write_json(job.folder / "error-trial.json", told)


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choices):
        return CategoricalDistribution(tuple(range(len(dimension.values))))  # by place: a value may be a mapping
    kind: Any = IntDistribution if dimension.whole else FloatDistribution
    return kind(dimension.low, dimension.high, log=dimension.log)


def _encoded(dimension: Dimension, value: Any) -> Any:
    return dimension.values.index(value) if isinstance(dimension, Choices) else value


def _decoded(dimension: Dimension, value: Any) -> Any:
    if isinstance(dimension, Choices):
        return dimension.values[value]
    return value if dimension.whole else space.rounded(value, dimension)
