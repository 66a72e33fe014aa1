"""Training states on disk: whole or not there, verified, of one configuration, readable without pickle."""

import itertools
import json
import subprocess
import sys
import textwrap

import pytest
import torch

from rnn_core import bptt, checkpoint, networks, optim
from rnn_core.cells import CELLS
from rnn_core.errors import ConfigError, DataError
from tests.rnn_core.small import CLIP, LANES, columns_of, network_of, state_of, tokens, windows_of


def adam_state(network):
    optimizer = optim.optimizer(optim.OptimizerConfig(name="adamw", rate=0.01), network.parameters())
    return bptt.TrainState(network=network, optimizer=optimizer, carry=network.initial_carry(LANES))


def steps_of(state, windows, count):
    return [s.loss for s in itertools.islice(bptt.fit(state, windows, rate=lambda u: 0.01, clip=CLIP, k2=12), count)]


WINDOWS = windows_of(columns_of(tokens(300)), 8)


def trained(folder, updates=5, key="k", cell="lstm"):
    state = adam_state(network_of(cell).float())
    steps_of(state, WINDOWS, updates)
    checkpoint.save(folder, state, state.carry, key=key, facts={"seconds": 1.5})
    return state


def test_a_restart_goes_on_bit_for_bit(tmp_path):
    state = trained(tmp_path)
    undisturbed = steps_of(state, WINDOWS, 20)
    fresh = adam_state(network_of().float())
    torch.nn.init.normal_(fresh.network.head.weight)
    loaded = checkpoint.load(tmp_path, fresh, fresh.network.initial_carry(LANES), key="k")
    fresh.carry = loaded.carry
    assert (loaded.update, fresh.update, loaded.facts) == (5, 5, {"seconds": 1.5})
    assert steps_of(fresh, WINDOWS, 20) == undisturbed


@pytest.mark.parametrize("updates", [0, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_a_restart_goes_on_with_every_cell(tmp_path, cell, updates):
    state = trained(tmp_path, updates, cell=cell)
    undisturbed = steps_of(state, WINDOWS, 3)
    fresh = adam_state(network_of(cell).float())
    fresh.carry = checkpoint.load(tmp_path, fresh, fresh.carry, key="k").carry
    assert steps_of(fresh, WINDOWS, 3) == undisturbed


def test_nothing_there_is_no_error(tmp_path):
    state = state_of(network_of())
    assert checkpoint.load(tmp_path / "none", state, state.carry, key="k") is None


def test_another_configuration_is_refused(tmp_path):
    trained(tmp_path, key="one")
    state = adam_state(network_of().float())
    with pytest.raises(ConfigError, match="step-00000005: a training state of configuration one, wanted is other"):
        checkpoint.load(tmp_path, state, state.carry, key="other")


@pytest.mark.parametrize("damage", ["cut", "flip", "no state", "cut state", "version"])
def test_a_damaged_newest_state_falls_back_to_the_one_before(tmp_path, damage):
    state = trained(tmp_path)
    steps_of(state, WINDOWS, 3)
    newest = checkpoint.save(tmp_path, state, state.carry, key="k", facts={})
    tensors, text = newest / checkpoint.TENSORS, newest / checkpoint.STATE
    if damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-1])
    elif damage == "flip":
        content = bytearray(tensors.read_bytes())
        content[-5] ^= 1
        tensors.write_bytes(content)
    elif damage == "no state":
        text.unlink()
    elif damage == "cut state":
        text.write_text(text.read_text()[:20])
    else:
        text.write_text(json.dumps(json.loads(text.read_text()) | {"format_version": 99}))
    fresh = adam_state(network_of().float())
    with pytest.warns(UserWarning, match="step-00000008"):
        loaded = checkpoint.load(tmp_path, fresh, fresh.carry, key="k")
    assert loaded.update == 5


def test_the_newest_two_are_kept_and_a_person_can_read_them(tmp_path):
    state = trained(tmp_path)
    for _ in range(3):
        steps_of(state, WINDOWS, 1)
        checkpoint.save(tmp_path, state, state.carry, key="k", facts={"epoch": 0.5})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000007", "step-00000008"]
    written = json.loads((tmp_path / "step-00000008" / "state.json").read_text())
    assert written["update"] == 8
    assert written["facts"] == {"epoch": 0.5}


def test_a_full_disk_leaves_the_state_before_and_says_so(tmp_path):
    """In a process whose files may not grow: the write fails in the middle, as on a full disk."""
    trained(tmp_path)
    code = f"""
        import resource, signal, sys
        sys.path[:0] = {sys.path!r}
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        from pathlib import Path
        from rnn_core import checkpoint
        from rnn_core.errors import DataError
        from tests.rnn_core.test_checkpoint import adam_state, network_of, steps_of, WINDOWS
        state = adam_state(network_of().float())
        steps_of(state, WINDOWS, 7)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        try:
            checkpoint.save(Path({str(tmp_path)!r}), state, state.carry, key="k", facts={{}})
        except DataError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert "step-00000007: the training state could not be written" in done.stdout
    assert "the same command goes on from the state before" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000005"]


def test_weights_alone_go_there_and_back_with_a_tied_one_once(tmp_path):
    from rnn_core.models import language_model

    config = language_model.Config(
        cell="gru", embedding_size=5, hidden_size=6, num_layers=1, input_dropout=0, dropout=0, tie=True
    )
    pair = [networks.network("language_model", config, language_model.Sizes(vocabulary=9)) for _ in range(2)]
    checkpoint.save_network(pair[0], tmp_path / "w.safetensors")
    checkpoint.load_network(pair[1], tmp_path / "w.safetensors")
    for mine, other in zip(pair[0].parameters(), pair[1].parameters(), strict=True):
        assert torch.equal(mine, other)
    other_shape = networks.network("language_model", config, language_model.Sizes(vocabulary=10))
    with pytest.raises(DataError, match="weights that do not fit"):
        checkpoint.load_network(other_shape, tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"no")
    with pytest.raises(DataError, match="weights that do not fit"):
        checkpoint.load_network(pair[1], tmp_path / "w.safetensors")
