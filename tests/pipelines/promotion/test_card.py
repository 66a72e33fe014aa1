"""A model card tells whose data, under which licence, how good, and how to make the same again."""

import pytest
import yaml

from pipelines import dvc_lock, params, paths
from pipelines.promotion.card import card
from pipelines.tracking import Card

RUN = {"kind": "tagging", "cell": "lstm", "revision": "abc123+changes"}
SCORE = {
    **{"metric": "accuracy", "direction": "max", "score": 95.76, "spread": None, "best_possible": 96.59},
    **{"baselines": {"memoryless": 74.19}, "published": None, "parameters": 458689, "seeds": [1]},
}


@pytest.mark.parametrize("suite", paths.SUITES)
def test_every_shipped_block_has_a_card_that_fits_a_description(suite, monkeypatch):
    monkeypatch.setattr(dvc_lock, "md5", lambda *_: "0" * 36)  # read once a block, a lock takes seconds
    for name in params.blocks(suite):
        made = card(params.block(suite, name), "recurrent", RUN, SCORE)
        assert made.text.startswith(Card.BEGIN)
        assert len(made.text) < 4500, name  # mlflow's store keeps 5,000 characters, the verdict among them
        assert made.tags["data_licence"] in made.text


def test_it_says_what_was_measured_and_how_to_make_it_again():
    block = params.block("public", "pos_tagging")
    text = card(block, "recurrent", RUN, SCORE | {"seeds": [1, 2], "spread": {"min": 95.1, "max": 96.2}}).text
    assert "Universal Dependencies" in text
    assert "Licence: CC BY-SA 4.0" in text
    assert "accuracy 95.76" in text
    assert "mean of 2 seeds that lie between 95.1 and 96.2; best possible 96.59; memoryless 74.19" in text
    assert "`git checkout abc123 && make repro SUITE=public TASK=pos_tagging` (revision abc123+changes; md5" in text
    assert block.settings in text
    assert '"model.cell": "lstm"' in text
    assert "The score of one seed says nothing" not in text
    assert "The score of one seed says nothing" in card(block, "recurrent", RUN, SCORE).text


def test_the_lock_tells_the_md5_of_an_output(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    out = paths.arrow("sample", "mine")
    assert dvc_lock.md5("sample", out) is None
    entry = {"path": "data/arrow/sample/mine", "md5": "0f.dir"}
    other = {"path": "data/scores/sample/mine.json"}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"s": {"outs": [other, entry]}, "t": {}}}))
    assert dvc_lock.md5("sample", out) == "0f.dir"
    assert dvc_lock.md5("sample", paths.train("sample", "mine")) is None
