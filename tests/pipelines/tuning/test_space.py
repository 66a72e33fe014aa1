"""What may stand under `sweep` in the params files, and what is said of what may not."""

import copy

import pytest
import yaml

from pipelines import params, paths, tasks
from pipelines.tuning import space, trials
from pipelines.tuning.space import Choices, Range
from rnn_core.config import from_mapping
from rnn_core.errors import ConfigError
from rnn_core.models import KINDS

BLOCKS = [(suite, name) for suite in paths.SUITES for name in params.blocks(suite)]


@pytest.mark.parametrize(("suite", "name"), BLOCKS)
def test_every_shipped_block_can_be_swept(suite, name):
    """Each end and each choice of its space is accepted, the other settings as they are, and so are its own values."""
    block, written = params.block(suite, name), params.written(suite, name)
    own = block.recurrent[0].flat()
    within = space.resolve(block.sweep, own, "sweep")
    assert {"model.cell", "model.hidden_size", "model.dropout", "train.optimizer.rate"} <= set(within)
    for setting, dimension in within.items():
        for value in space.candidates(dimension):
            changed = trials.replaced(written, {setting: value})
            training = params.parse(suite, name, changed, params.base(), "p").recurrent[0]
            from_mapping(KINDS[tasks.load(block.task).KIND].Config, training.model, "model")
            assert training.flat()[setting] == value
        assert space.holds(dimension, own[setting]), f"{setting}: the block's own {own[setting]} is not in the space"


def test_multiples_are_of_the_blocks_own_value():
    written = space.parse({"model.a": {"times": [0.5, 1, 1.0]}, "train.b": {"times": {"low": 0.1, "high": 2}}}, "s")
    within = space.resolve(written, {"model.a": 5, "train.b": 0.03}, "s")
    assert within == {"model.a": Choices(values=(2, 5)), "train.b": Range(low=0.003, high=0.06)}


def test_a_number_between_has_few_digits_and_stays_between():
    within = Range(low=0.0012345, high=0.5, log=True)
    assert space.rounded(0.0123456, within) == 0.0123
    assert space.rounded(0.0012346, within) == within.low


def test_only_values_that_can_be_counted_are_counted():
    cells = Choices(values=("lstm", "gru"))
    assert space.points({"model.cell": cells, "model.size": Choices(values=(1, 2, 3))}) == 6
    assert space.points({"model.cell": cells, "model.dropout": Range(low=0.0, high=0.5)}) is None


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ([], r"s: found \[\]; a mapping of names such as model.cell to values"),
        ({"modle.cell": ["lstm"]}, "s.modle.cell: not a setting that can be varied; names that begin with `model.` or"),
        ({"data.level": ["word"]}, "s.data.level: not a setting that can be varied"),
        ({"model.cell": []}, r"s.model.cell: found \[\]; a list of values, or low and high"),
        ({"model.cell": "lstm"}, "s.model.cell: found 'lstm'; a list of values"),
        ({"model.cell": ["lstm", "lstm"]}, "different values are wanted"),
        ({"train.clip": {"low": 1, "hihg": 2}}, r"s.train.clip.hihg: unknown key \(did you mean `high`\?\)"),
        ({"train.clip": {"low": 2, "high": 2}}, "low is 2 and high 2, wanted is a high above low"),
        ({"train.clip": {"low": 0.0, "high": 2.0, "log": True}}, "low is 0.0 with log: true, wanted is a number above"),
        ({"train.clip": {"low": "1e-3", "high": 2.0}}, "s.train.clip.low: found '1e-3'.*write 0.001"),
        ({"train.clip": {"times": ["lstm"]}}, r"s.train.clip.times: found \['lstm'\]; numbers, or low and high"),
    ],
)
def test_what_is_no_space_is_told(written, told):
    with pytest.raises(ConfigError, match=told):
        space.parse(written, "s")


def test_multiples_of_what_is_no_number_are_told():
    with pytest.raises(ConfigError, match="s.model.cell: times what the block has as 'lstm'"):
        space.resolve(space.parse({"model.cell": {"times": [1, 2]}}, "s"), {"model.cell": "lstm"}, "s")


def test_a_blocks_own_space_takes_the_place_of_the_bases():
    shipped = yaml.safe_load(paths.params_file("sample").read_text())
    own = copy.deepcopy(shipped["blocks"]["pos_tagging"]) | {"sweep": {"model.cell": ["gru"]}}
    block = params.parse("sample", "pos_tagging", own, shipped["base"], "p")
    assert block.sweep == {"model.cell": Choices(values=("gru",))}
    assert block.settings == params.block("sample", "pos_tagging").settings, "no score follows from it"
