"""What the search suggests, without Ray's processes: the same after an interruption as without one."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from ray.tune.schedulers import TrialScheduler

from pipelines.tuning import search
from pipelines.tuning.space import Choices, Range
from pipelines.tuning.trials import Trial

WITHIN = {
    "model.cell": Choices(values=("lstm", "gru", {"a": "mapping"})),
    "model.hidden_size": Range(low=8, high=64, log=True),
    "train.optimizer.rate": Range(low=0.001, high=0.1, log=True),
}
OWN = {"model.cell": "gru", "model.hidden_size": 16, "train.optimizer.rate": 0.01}


class Board:
    """Numbers what it is told of."""

    def __init__(self, before=()):
        self.begun = list(before)

    def begin(self, settings, suggested):
        self.begun.append(Trial(number=len(self.begun) + 1, settings=settings, suggested=suggested, folder="f"))
        return self.begun[-1], None


def score(settings):
    return settings["train.optimizer.rate"] * settings["model.hidden_size"]


def run(count, before=(), again=(), first=(OWN,), seed=1):
    """`count` trials, one after the other, behind those that a sweep was interrupted after; all of them."""
    board = Board(before)
    known = [(trial, [trial.score]) for trial in before]
    suggestions = search._Suggestions(WITHIN, board, known, again, first, "min", seed)
    for number in range(count):
        assert suggestions.suggest(str(number)) == {"job": None}
        suggestions.on_trial_complete(str(number), {"score": score(board.begun[-1].settings)})
    return board.begun


def settings_of(trials):
    return [trial.settings for trial in trials]


def test_the_blocks_own_settings_come_first_and_all_lie_in_the_space():
    trials = settings_of(run(16))
    assert trials[0] == OWN
    assert len({str(trial) for trial in trials}) > 12
    for trial in trials:
        assert trial["model.cell"] in WITHIN["model.cell"].values
        assert isinstance(trial["model.hidden_size"], int)
        assert 8 <= trial["model.hidden_size"] <= 64
        assert 0.001 <= trial["train.optimizer.rate"] <= 0.1
        assert trial["train.optimizer.rate"] == float(f"{trial['train.optimizer.rate']:.3g}")


@pytest.mark.parametrize("interrupted", [1, 5, 13])
def test_a_sweep_that_was_interrupted_suggests_what_it_would_have(interrupted):
    whole = run(16)
    assert settings_of(whole) != settings_of(run(16, seed=2))
    before = [replace(trial, state="finished", score=score(trial.settings)) for trial in whole[:interrupted]]
    assert run(16 - interrupted, before, first=()) == [*before, *whole[interrupted:]]
    under_way = run(16 - interrupted, before, again=[whole[interrupted]], first=())
    assert settings_of(under_way) == settings_of(whole)


def test_a_trial_before_without_a_score_is_no_obstacle():
    refused = replace(run(1)[0], state="refused")
    assert len(run(3, [refused], first=())) == 4


def test_halving_counts_the_trials_before(tmp_path):
    """A score that would be the first, and go on, is cut where better ones came before the interruption."""

    class Folder:
        """Of a trial that is asked to stop, or not."""

        def __init__(self, folder):
            self.folder = folder

    def is_stopped(folder, before):
        folder.mkdir()
        halving = search._Halving(
            time_attr="validations", metric="score", mode="min", reduction_factor=3, stop_last_trials=False
        )
        for number, scores in enumerate(before):
            halving.before(str(number), scores)
        trial = SimpleNamespace(trial_id="new", config={"job": Folder(folder)})
        halving.on_trial_add(None, trial)
        assert halving.on_trial_result(None, trial, {"validations": 1, "score": 5.0}) == TrialScheduler.CONTINUE
        return (folder / "stop").exists()

    assert not is_stopped(tmp_path / "a", [])
    assert is_stopped(tmp_path / "b", [[1.0, 0.5], [2.0], [3.0]])
    assert not is_stopped(tmp_path / "c", [[7.0], [8.0], [9.0]])
