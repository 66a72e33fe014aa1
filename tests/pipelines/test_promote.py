"""A version becomes the champion by being better beyond chance on the present test data, and not otherwise.

Real networks, whose output weights are all zero but for a tag's bias: each says one tag for every word, so how good it
is follows from how often that tag stands in the test data.
"""

import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines import files, networks, params, paths, preprocess, promote, register, tasks, tracking, ui
from pipelines.promotion import contest
from rnn_core import checkpoint
from rnn_core.errors import ConfigError, DataError
from tests.pipelines import spooled

pytestmark = pytest.mark.filterwarnings(spooled.NOLOAD)

ROOT = Path(__file__).resolve().parents[2]
BLOCK, NAME = "pos_tagging", "rnn-pos_tagging"
SHARES = {"NOUN": 0.55, "VERB": 0.24, "ADJ": 0.21}
TAGS = ("VERB", "X", "VERB", "ADJ", "NOUN")
"""Of the versions: the first, a worse one, an equal one, one as good but for chance, a better one."""
SETTINGS = {
    **{"cell": "gru", "embedding_size": 4, "hidden_size": 4, "num_layers": 1, "bidirectional": True},
    **{"input_dropout": 0.0, "dropout": 0.0, "word_dropout": 0.0, "min_count": 1, "characters": None},
}


def write_data(seed: int = 0, sentences: int = 60) -> None:
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


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Six versions, and why each was champion or not when it was registered; the last one waits for its verdict."""
    root = tmp_path_factory.mktemp("arena")
    with pytest.MonkeyPatch.context() as patch:
        spooled.machine(tmp_path_factory, root, patch)
        settings = (root / "params.yaml").read_text()
        files.write_text(root / "params.yaml", settings.replace("draws: 2000", "draws: 400"))
        write_data()
        told = [version(root, tag, f"{number}-{tag}") for number, tag in enumerate(TAGS)]
        patch.setattr(promote, "judge", lambda *_: "later")
        version(root, "NOUN", "waiting")
    return root, told


@pytest.fixture
def root(arena: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """That checkout, with version 1 as champion as if no other one had ever been it."""
    root, _ = arena
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.setattr(paths, "root", lambda: root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    client = tracking.connect().client
    client.delete_registered_model_alias(NAME, "previous")
    for alias, number in (("champion", "1"), ("challenger", "6")):
        client.set_registered_model_alias(NAME, alias, number)
    return root


def version(root: Path, tag: str, training_id: str) -> str:
    """Register a network that always says `tag`; why it is the champion or not."""
    spooled.checkout(root, score=50.0, training_id=training_id, points=3)
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


def judged(number: int) -> str:
    return promote.judge(tracking.connect(), params.block("sample", BLOCK), number)


def test_the_champion_changes_only_for_one_that_is_better_beyond_chance(arena: tuple[Path, list[str]]) -> None:
    first, worse, equal, lucky, better = arena[1]
    assert first == "champion: there is no other one"
    assert worse.startswith("no champion: not better beyond chance, accuracy 0 against ")
    assert equal.startswith("no champion: not better beyond chance, accuracy ")
    assert "interval of the difference +0 to +0 by" in equal
    assert lucky.startswith("no champion: not better beyond chance, accuracy ")
    assert better.startswith("champion: better, accuracy 5")
    assert "of version 1 on the present test data" in better
    assert "95 % interval of the difference +" in better
    assert better.endswith(f"by 400 paired draws of 60 units; these test data have decided 4 times about {NAME}")


def test_the_description_says_why_before_the_card(root: Path) -> None:
    client = tracking.connect().client
    description = client.get_model_version(NAME, "5").description
    assert description.startswith("Champion: better, accuracy 5")
    assert description.count("# Model card") == 1
    judged(5)
    again = client.get_model_version(NAME, "5").description
    assert again.partition("# Model card")[2] == description.partition("# Model card")[2]
    assert aliases() == {"champion": 5, "challenger": 6, "previous": 1}


def test_the_same_evaluation_again_decides_nothing(root: Path) -> None:
    """Whoever moved the alias by hand has the last word."""
    version(root, "NOUN", "waiting")
    before = aliases()
    tracking.connect().put("sample", BLOCK, "2")
    version(root, "NOUN", "waiting")
    assert before["champion"] == 6
    assert aliases()["champion"] == 2


def test_other_test_data_decide_anew_and_are_counted_apart(root: Path) -> None:
    """Other training data too: each network reads the new test data by its own vocabulary."""
    client, arrow = tracking.connect().client, paths.arrow("sample", BLOCK)
    before = client.get_registered_model(NAME).tags
    shutil.copytree(arrow, root / "kept")
    try:
        write_data(seed=1, sentences=80)
        assert files.read_json(arrow / "sidecar.json") != files.read_json(root / "kept/sidecar.json")
        assert "draws of 80 units; these test data have decided 1 time about" in judged(5)
        assert "these test data have decided 2 times about" in judged(2)
    finally:
        shutil.rmtree(arrow)
        shutil.move(root / "kept", arrow)
    new = client.get_registered_model(NAME).tags
    assert [new[tag] for tag in new.keys() - before.keys()] == ["2"]
    assert before.items() <= new.items()


def test_rollback_is_undone_by_another_one_and_a_version_is_put_by_hand(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["promote", BLOCK, *arguments])
        promote.main()
        return capsys.readouterr().out

    with pytest.raises(SystemExit, match=r"nothing to go back to: challenger is version 6, champion is version 1"):
        run("--rollback")
    assert "champion: better" in run()
    assert aliases() == {"champion": 6, "challenger": 6, "previous": 1}
    assert run("--rollback") == "version 1 is champion again, 6 is previous\n"
    assert aliases() == {"champion": 1, "challenger": 6, "previous": 6}
    client = tracking.connect().client
    assert client.get_model_version(NAME, "6").description.startswith("No champion: rolled back to version 1.")
    assert run("--rollback") == "version 6 is champion again, 1 is previous\n"
    assert run("--version", "1") == "version 1 is champion, 6 is previous\n"
    assert run("--version", "champion") == "version 1 is champion\n"
    assert aliases()["previous"] == 6
    with pytest.raises(SystemExit, match="no alias or version `7`; aliases: challenger"):
        run("--version", "7")


def test_one_that_is_overtaken_while_it_compares_compares_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare, seen = contest.contest, []

    def overtaken(*arguments: Any) -> contest.Contest:
        seen.append(aliases()["champion"])
        if len(seen) == 1:
            tracking.connect().put("sample", BLOCK, "5")
        return compare(*arguments)

    monkeypatch.setattr(contest, "contest", overtaken)
    assert "no champion: not better beyond chance" in judged(6)
    assert seen == [1, 5]
    assert aliases() == {"challenger": 6, "champion": 5, "previous": 1}


def test_two_promotions_at_once_leave_one_winner(root: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from pipelines import params, paths, promote, tracking
paths.root = lambda: Path({str(root)!r})
print(promote.judge(tracking.connect(), params.block("sample", {BLOCK!r}), int(sys.argv[1])))
"""
    both = {number: spooled.python(code, root, str(number), PYTHONPATH=str(ROOT)) for number in (5, 6)}
    told = {number: process.communicate()[0] for number, process in both.items()}
    assert [process.returncode for process in both.values()] == [0, 0], told
    won = [number for number, said in told.items() if "\nchampion: better" in said]
    assert len(won) == 1, told
    (lost,) = {5, 6} - set(won)
    assert f"of version {won[0]} on" in told[lost]
    assert aliases() == {"champion": won[0], "challenger": 6, "previous": 1}
    client = tracking.connect().client
    assert client.get_model_version(NAME, str(won[0])).description.startswith("Champion: better")
    assert client.get_model_version(NAME, str(lost)).description.startswith("No champion")


def test_a_damaged_version_decides_nothing(root: Path) -> None:
    client = tracking.connect().client
    wanted = client.get_model_version(NAME, "1").tags["model_sha256"]
    client.set_model_version_tag(NAME, "1", "model_sha256", "0" * 64)
    why = judged(6)
    client.set_model_version_tag(NAME, "1", "model_sha256", wanted)
    assert why.startswith("no champion: version 1 holds the alias, and the two cannot be compared: ")
    assert f"files with the sha256 {wanted}" in why
    assert aliases() == {"champion": 1, "challenger": 6}


def test_damaged_test_data_decide_nothing(root: Path) -> None:
    (shard,) = paths.arrow("sample", BLOCK).glob("test-*.arrow")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:100])
    why = judged(6)
    shard.write_bytes(whole)
    assert "the two cannot be compared: " in why
    assert shard.name in why
    assert aliases() == {"champion": 1, "challenger": 6}


def test_networks_that_cannot_be_compared_are_told_apart(root: Path) -> None:
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
