"""A version becomes the champion by being better beyond chance on the present test data, and not otherwise.

Real networks, whose output weights are all zero but for a tag's bias: each says one tag for every word, so how good it
is follows from how often that tag stands in the test data.
"""

import random
import sys
from pathlib import Path

import pytest
import torch

from pipelines import contest, files, networks, params, paths, preprocess, promote, register, tasks, tracking, ui
from rnn_core import checkpoint
from rnn_core.errors import ConfigError, DataError
from tests.pipelines import spooled

pytestmark = pytest.mark.filterwarnings(spooled.NOLOAD)

ROOT = Path(__file__).resolve().parents[2]
BLOCK, NAME = "pos_tagging", "rnn-pos_tagging"
SHARES = {"NOUN": 0.55, "VERB": 0.24, "ADJ": 0.21}
SETTINGS = {
    **{"cell": "gru", "embedding_size": 4, "hidden_size": 4, "num_layers": 1, "bidirectional": True},
    **{"input_dropout": 0.0, "dropout": 0.0, "word_dropout": 0.0, "min_count": 1, "characters": None},
}


def write_data(root: Path, seed: int = 0, sentences: int = 60) -> None:
    """Raw sentences and their Arrow folder."""
    draws = random.Random(seed)
    for split in ("train", "validation", "test"):
        lines = []
        for _ in range(sentences):
            for number in range(1, 6):
                (tag,) = draws.choices(list(SHARES), list(SHARES.values()))
                lines.append(f"{number}\tw{draws.randrange(50)}\t_\t{tag}" + "\t_" * 6)
            lines.append("")
        files.write_text(paths.raw("sample", BLOCK) / f"{split}.conllu", "\n".join(lines) + "\n")
    preprocess.stage("sample", BLOCK)


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    spooled.machine(tmp_path_factory, tmp_path, monkeypatch)
    write_data(tmp_path)
    return tmp_path


def version(root: Path, tag: str, training_id: str) -> str:
    """Register a network that always says `tag`; why it is the champion or not."""
    spooled.checkout(root, score=50.0, training_id=training_id)
    sidecar = files.read_json(paths.arrow("sample", BLOCK) / "sidecar.json")
    network = networks.build(tasks.load(BLOCK), SETTINGS, sidecar)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.zero_()
        network.head.bias[sidecar["tags"].index(tag)] = 1.0
    folder = paths.train("sample", BLOCK) / "recurrent/model"
    about = {"task": BLOCK, "kind": "tagging", "model": SETTINGS, "dtype": "float32", "window": 32, "carry": False}
    files.write_json(folder / "model.json", about)
    files.write_json(folder / "sidecar.json", sidecar)
    checkpoint.save_network(network, folder / "model.safetensors")
    register.register("sample", BLOCK)
    number = files.read_json(paths.score("sample", BLOCK))["model_version"]
    return str(tracking.connect().client.get_model_version(NAME, str(number)).tags.get("verdict"))


def aliases() -> dict[str, int]:
    return tracking.connect().aliases("sample", BLOCK)


def test_the_champion_changes_only_for_one_that_is_better_beyond_chance(root: Path) -> None:
    assert version(root, "VERB", "first") == "champion: there is no other one"
    assert aliases() == {"champion": 1, "challenger": 1}
    assert "no champion: not better beyond chance, accuracy 0 against" in version(root, "X", "worse")
    assert "no champion: not better beyond chance" in version(root, "VERB", "equal")
    assert "no champion: not better beyond chance" in version(root, "ADJ", "as good, but for chance")
    assert aliases() == {"champion": 1, "challenger": 4}
    why = version(root, "NOUN", "better")
    assert why.startswith("champion: better, accuracy 5")
    assert "of version 1 on the present test data" in why
    assert "95 % interval of the difference +" in why
    assert why.endswith(f"by 2000 paired draws of 60 units; these test data have decided 4 times about {NAME}")
    assert aliases() == {"champion": 5, "challenger": 5, "previous": 1}

    client = tracking.connect().client
    description = client.get_model_version(NAME, "5").description
    assert description.startswith("Champion: better, accuracy 5")
    assert description.count("# Model card") == 1
    assert list(client.get_registered_model(NAME).tags.values()) == ["4"]
    # Moved by hand, it stays there: the same training again decides nothing.
    client.set_registered_model_alias(NAME, "champion", "1")
    version(root, "NOUN", "better")
    assert aliases()["champion"] == 1


def test_other_test_data_decide_anew_and_are_counted_apart(root: Path) -> None:
    version(root, "VERB", "first")
    assert "have decided 1 time about" in version(root, "X", "worse")
    # Other training data too: the champion's vocabulary is another one, and it reads the new test data by its own.
    write_data(root, seed=1, sentences=80)
    sidecar = files.read_json(paths.arrow("sample", BLOCK) / "sidecar.json")
    assert sidecar != files.read_json(tracking.connect().bring("sample", BLOCK, "champion").folder / "sidecar.json")
    why = version(root, "NOUN", "better")
    assert "draws of 80 units; these test data have decided 1 time about" in why
    assert aliases() == {"champion": 3, "challenger": 3, "previous": 1}
    assert sorted(tracking.connect().client.get_registered_model(NAME).tags.values()) == ["1", "1"]


def test_rollback_is_undone_by_another_one_and_a_version_is_put_by_hand(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["promote", BLOCK, *arguments])
        promote.main()
        return capsys.readouterr().out

    version(root, "VERB", "first")
    with pytest.raises(SystemExit, match=r"nothing to go back to: challenger is version 1, champion is version 1"):
        run("--rollback")
    version(root, "NOUN", "better")
    capsys.readouterr()
    assert run("--rollback") == "version 1 is champion again, 2 is previous\n"
    assert aliases() == {"champion": 1, "challenger": 2, "previous": 2}
    client = tracking.connect().client
    assert client.get_model_version(NAME, "2").description.startswith("No champion: rolled back to version 1.")
    # What was decided stands, a rollback too, until somebody asks.
    version(root, "NOUN", "better")
    assert aliases()["champion"] == 1
    assert run("--rollback") == "version 2 is champion again, 1 is previous\n"
    assert run("--version", "1") == "version 1 is champion, 2 is previous\n"
    assert "champion: better" in run()
    assert aliases() == {"champion": 2, "challenger": 2, "previous": 1}
    assert run("--version", "champion") == "version 2 is champion\n"
    assert aliases()["previous"] == 1
    with pytest.raises(SystemExit, match="no alias or version `7`; aliases: challenger"):
        run("--version", "7")


def test_one_that_is_overtaken_while_it_compares_compares_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promote, "judge", lambda *_: "later")
    for number, tag in enumerate(("X", "VERB", "NOUN")):
        version(root, tag, str(number))
    monkeypatch.undo()
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    monkeypatch.setattr(paths, "root", lambda: root)
    tracker, block, compare = tracking.connect(), params.block("sample", BLOCK), contest.contest
    promote.judge(tracker, block, 1)
    seen = []

    def overtaken(*arguments: object) -> contest.Contest:
        seen.append(aliases()["champion"])
        if len(seen) == 1:
            tracker.put("sample", BLOCK, "3")
        return compare(*arguments)

    monkeypatch.setattr(contest, "contest", overtaken)
    assert "no champion: not better beyond chance" in promote.judge(tracker, block, 2)
    assert seen == [1, 3]
    assert aliases() == {"challenger": 3, "champion": 3, "previous": 1}


def test_two_promotions_at_once_leave_one_winner(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version(root, "VERB", "first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(promote, "judge", lambda *_: "later")
        version(root, "NOUN", "one")
        version(root, "NOUN", "other")
    code = f"""
import sys
from pathlib import Path
from pipelines import params, paths, promote, tracking
paths.root = lambda: Path({str(root)!r})
print(promote.judge(tracking.connect(), params.block("sample", {BLOCK!r}), int(sys.argv[1])))
"""
    both = {number: spooled.python(code, root, str(number), PYTHONPATH=str(ROOT)) for number in (2, 3)}
    told = {number: process.communicate()[0] for number, process in both.items()}
    assert [process.returncode for process in both.values()] == [0, 0], told
    won = [number for number, said in told.items() if "champion: better" in said and "no champion" not in said]
    assert len(won) == 1, told
    (lost,) = {2, 3} - set(won)
    assert f"of version {won[0]} on" in told[lost]
    assert aliases() == {"champion": won[0], "challenger": 3, "previous": 1}
    client = tracking.connect().client
    assert client.get_model_version(NAME, str(won[0])).description.startswith("Champion: better")
    assert client.get_model_version(NAME, str(lost)).description.startswith("No champion")


@pytest.mark.parametrize("damage", ["weights", "test data"])
def test_what_is_damaged_decides_nothing(root: Path, damage: str) -> None:
    version(root, "VERB", "first")
    if damage == "weights":
        for file in (root / "mlartifacts").glob("**/model.safetensors"):
            file.write_bytes(b"nonsense")
    else:
        (shard,) = paths.arrow("sample", BLOCK).glob("test-*.arrow")
        shard.write_bytes(shard.read_bytes()[:100])
    why = version(root, "NOUN", "better")
    assert "no champion: version 1 holds the alias, and the two cannot be compared: " in why
    assert ("files with the sha256" if damage == "weights" else shard.name) in why
    assert aliases() == {"champion": 1, "challenger": 2}


def test_networks_that_cannot_be_compared_are_told_apart(root: Path) -> None:
    version(root, "VERB", "first")
    block, folder = params.block("sample", BLOCK), tracking.connect().bring("sample", BLOCK, "champion").folder
    with pytest.raises(DataError, match="no network that this code reads"):
        contest.contest(block, root / "nowhere", folder)
    files.write_json(paths.arrow("sample", "sentiment") / "sidecar.json", {})
    with pytest.raises(DataError, match="a network for pos_tagging; one for sentiment"):
        contest.contest(params.block("sample", "sentiment"), folder, folder)


def test_an_unknown_block_or_server_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no block 'pos_tagger' .did you mean `pos_tagging`"):
        promote.promote("sample", "pos_tagger")
    with pytest.raises(DataError, match="rnn-sentiment: no registered model"):
        promote.promote("sample", "sentiment")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{ui.free_port(0)}")
    for action in (promote.promote, promote.roll_back):
        with pytest.raises(tracking.TrackingError, match="cannot be reached"):
            action("sample", BLOCK)
