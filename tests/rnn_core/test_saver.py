"""States written beside training are those of the moment they were asked for; what cannot be written is told."""

import threading

import pytest
import torch

from rnn_core import checkpoint
from rnn_core.errors import DataError
from rnn_core.saver import Saver
from tests.rnn_core.small import network_of
from tests.rnn_core.test_checkpoint import WINDOWS, adam_state, steps_of


def test_training_goes_on_while_the_state_of_before_is_written(tmp_path, monkeypatch):
    may_write, write = threading.Event(), checkpoint.write

    def slowly(*arguments, **settings):
        assert may_write.wait(60)
        return write(*arguments, **settings)

    monkeypatch.setattr(checkpoint, "write", slowly)
    state, written = adam_state(network_of().float()), []
    steps_of(state, WINDOWS, 5)
    with Saver(tmp_path, key="k", then=written.append) as saver:
        facts = {"progress": {"seconds": 1.5, "scores": [1.0]}}
        saver.save(state, state.carry, facts)
        facts["progress"]["seconds"] = 9.0
        facts["progress"]["scores"].append(2.0)
        undisturbed = steps_of(state, WINDOWS, 20)
        assert not list(tmp_path.glob("step-*"))
        may_write.set()
        saver.wait()
        assert written == [tmp_path / "step-00000005"]
    fresh = adam_state(network_of().float())
    torch.nn.init.normal_(fresh.network.head.weight)
    loaded = checkpoint.load(tmp_path, fresh, fresh.carry, key="k")
    fresh.carry = loaded.carry
    assert (loaded.update, loaded.facts) == (5, {"progress": {"seconds": 1.5, "scores": [1.0]}})
    assert steps_of(fresh, WINDOWS, 20) == undisturbed


def test_a_disk_that_takes_nothing_is_told_at_the_next_state_and_at_the_end(tmp_path):
    state = adam_state(network_of().float())
    (tmp_path / "states").write_text("a file where the folder should be")
    saver = Saver(tmp_path / "states", key="k")
    saver.save(state, state.carry, {})
    with pytest.raises(DataError, match="the training state could not be written"):
        saver.save(state, state.carry, {})
    saver.close()
    with pytest.raises(DataError, match="could not be written"), Saver(tmp_path / "states", key="k") as saver:
        saver.save(state, state.carry, {})
