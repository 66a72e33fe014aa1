"""The params files as shipped, and what is said of the mistakes that people make in them."""

import copy

import pytest
import yaml

from pipelines import networks, params, paths, tasks
from rnn_core.cells import CELLS
from rnn_core.config import from_mapping
from rnn_core.errors import ConfigError
from rnn_core.models import KINDS

BLOCKS = [(suite, name) for suite in paths.SUITES for name in params.blocks(suite)]


@pytest.fixture(scope="module")
def shipped():
    return yaml.safe_load(paths.params_file("sample").read_text())


@pytest.mark.parametrize(("suite", "name"), BLOCKS)
def test_every_shipped_block_is_whole(suite, name):
    """Each is checked to its leaves: task, data, model, training, metric; and each has the baseline without memory."""
    block = params.block(suite, name)
    task = tasks.load(block.task)
    assert block.evaluate.metric in task.METRICS
    own = {k: v for k, v in block.data.items() if k not in ("files", "max_bad_share")}
    from_mapping(task.Data, own, "data")
    for training in block.trainings:
        from_mapping(KINDS[task.KIND].Config, training.model, "model")
    baselines = block.trainings[len(block.recurrent) :]
    assert (block.trainings[0].name, baselines[0].name) == ("recurrent", "memoryless")
    assert baselines[0].model["cell"] == "memoryless"
    assert (paths.root() / block.source).exists()


def test_the_data_set_goes_by_its_catalogue_entry_or_the_users_name(shipped):
    assert params.block("public", "language_model").dataset == "ptb"
    assert params.block("public", "pos_tagging").dataset == "ud_english_ewt"
    assert params.block("sample", "language_model").dataset == "sample"
    own = copy.deepcopy(shipped["blocks"]["pos_tagging"])
    own["data"]["from"] = "/somewhere/my_words"
    assert params.parse("sample", "mine", own, shipped["base"], "p").dataset == "my_words"


def changed(shipped, path, value):
    block = copy.deepcopy(shipped["blocks"]["language_model"])
    *parents, last = path.split(".")
    place = block
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return params.parse("sample", "language_model", block, shipped["base"], "params.yaml: blocks.language_model")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("train.lames", 3, "blocks.language_model.train.lames: unknown key (did you mean `lanes`?); allowed are"),
        ("train.optimizer.rate", "1e-3", "train.optimizer.rate: found '1e-3' (text); wanted is a number (YAML reads"),
        ("train.window", 0, "train: window is 0, wanted is a whole number from 1 on"),
        ("train.accumulate", 0, "train: accumulate is 0, wanted is a whole number from 1 on"),
        ("train.k2", 5, "train: k2 is 5, wanted is at least window, 20"),
        ("train.window_spread", 20.0, "train: window_spread is 20.0, wanted is a number from 0 to below window"),
        ("train.averaging", {}, "train.averaging: after is None, patience is None: one of the two is wanted"),
        ("train.averaging", {"after": 1.5}, "train.averaging.after: found 1.5 (number); wanted is a whole number"),
        ("train.epochs", 2.5, "train.epochs: found 2.5 (number); wanted is a whole number"),
        ("train.clip", -1, "train: clip is -1.0, wanted is a number above 0"),
        ("train.optimizer.name", "adam", "train.optimizer.name: found 'adam' (text); wanted is one of adamw, sgd"),
        ("train.schedule", 3, "train.schedule: found 3 (number); a mapping of names to values is wanted"),
        ("modell", {}, "blocks.language_model.modell: unknown key (did you mean `model`?)"),
        ("baselines", None, "blocks.language_model.baselines: missing; wanted are task, data, model"),
        ("data.from", None, "blocks.language_model.data.from: missing; the file or folder"),
        ("data.from", 3, "blocks.language_model.data.from: found 3; the path of a file or folder is wanted"),
        ("task", 7, "blocks.language_model.task: found 7; the name of a file in pipelines/tasks is wanted"),
        ("evaluate.published", 115, "evaluate.published: found 115 (number); a mapping of names to values is wanted"),
        ("baselines.memoryless", {"model": {}}, "baselines.memoryless.train: missing; wanted are model, train"),
        ("baselines.no-memory", {"model": {}, "train": {}}, "small letters, digits and _ are allowed"),
    ],
)
def test_mistakes_are_told_with_their_key(shipped, path, value, message):
    with pytest.raises(ConfigError) as raised:
        changed(shipped, path, value)
    assert message in str(raised.value)


def test_gradient_past_a_cut_carry_is_refused(shipped):
    block = copy.deepcopy(shipped["blocks"]["language_model"])
    block["train"] |= {"carry": False, "k2": 40}
    with pytest.raises(ConfigError, match="k2 is 40 with carry false: nothing flows back past a window, write 20"):
        params.parse("sample", "language_model", block, shipped["base"], "p")
    block["train"] |= {"carry": True, "window_spread": 2.0}
    with pytest.raises(ConfigError, match="k2 is 40 with windows of varying length, wanted is window, 20"):
        params.parse("sample", "language_model", block, shipped["base"], "p")


@pytest.mark.parametrize("more", [{"k2": 40}, {"accumulate": 2}])
def test_a_graph_of_more_than_one_window_is_refused(shipped, more):
    block = copy.deepcopy(shipped["blocks"]["language_model"])
    block["train"] |= {"graph": True, **more}
    with pytest.raises(ConfigError, match="a graph holds one window, write 20 and 1"):
        params.parse("sample", "language_model", block, shipped["base"], "p")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"cell": "lsmt"}, f"model.cell: found lsmt; allowed are {', '.join(CELLS)}"),
        ({"hiden_size": 3}, "model.hiden_size: unknown key (did you mean `hidden_size`?)"),
        ({"num_layers": 0}, "model.num_layers: found 0"),
        ({"dropout": 1.0}, "model.dropout: found 1.0"),
        ({"head": "adaptive", "tie": False}, "model.cutoffs: found None with model.head: adaptive; rising whole"),
    ],
)
def test_a_model_that_cannot_be_is_told(shipped, model, message):
    task = tasks.load("language_model")
    with pytest.raises(ConfigError) as raised:
        networks.build(task, shipped["blocks"]["language_model"]["model"] | model, {"words": ["a", "b"]})
    assert message in str(raised.value)


def test_a_block_that_is_not_there_is_told_with_the_choices():
    with pytest.raises(ConfigError, match=r"no block 'pos_taging' \(did you mean `pos_tagging`\?\); there are lang"):
        params.block("sample", "pos_taging")
    with pytest.raises(ConfigError, match="small letters, digits and _"):
        paths.block_name("../x")


def test_a_line_that_is_no_yaml_is_told(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text("root: .\nblocks: {a: [}\n")
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    with pytest.raises(ConfigError, match="params.yaml:2: no YAML"):
        params.blocks("sample")
    (tmp_path / "params.yaml").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        params.blocks("sample")


def test_a_baseline_without_memory_is_as_large_as_the_network(shipped):
    from rnn_core.bptt import parameter_count

    task = tasks.load("language_model")
    sidecar = {"words": [str(i) for i in range(500)]}
    like = shipped["blocks"]["language_model"]["model"]
    wide = networks.widened(task, like | {"cell": "memoryless"}, like, sidecar)
    sizes = [parameter_count(networks.build(task, model, sidecar)) for model in (wide, like)]
    assert wide["hidden_size"] > like["hidden_size"]
    assert 0.98 * sizes[1] < sizes[0] <= sizes[1]


@pytest.mark.parametrize(
    ("register", "says"),
    [
        ({"level": 0.95}, r"base.register.draws: missing; wanted is a whole number"),
        ({"level": 95.0, "draws": 2000}, r"base.register: level is 95.0, wanted is a share from 0.5 to below 1"),
        ({"level": 0.95, "draws": 10}, r"draws is 10, wanted is a whole number from 100 on"),
        ({"level": 0.95, "draws": 2000.5}, r"base.register.draws: found 2000.5"),
        ({"level": 0.95, "draws": 2000, "seeds": 1}, r"base.register.seeds: unknown key"),
    ],
)
def test_what_a_champion_must_show_is_checked(shipped, register, says):
    base = shipped["base"] | {"register": register}
    with pytest.raises(ConfigError, match=says):
        params.parse("sample", "sentiment", shipped["blocks"]["sentiment"], base, "p")
