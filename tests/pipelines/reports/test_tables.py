"""The tables say what the score files say: aligned on the terminal, and in the README as committed."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from pipelines import paths, score
from pipelines.reports import marked, scores, tables
from rnn_core.errors import ConfigError, DataError

EXAMPLE = {
    "task": "pos_tagging",
    "dataset": "sample",
    "metric": "accuracy",
    "direction": "max",
    "score": 96.5,
    "best_possible": 97.0,
    "baselines": {"memoryless": 74.25, "best_memoryless": 75.0},
    "published": None,
    "seconds": 41.7,
    "parameters": 123456,
    "seeds": [1],
    "revision": "abc",
    "run_id": "f00",
    "model_version": 3,
}


def changed(**values: object) -> str:
    return json.dumps({**EXAMPLE, **values})


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with two blocks in the sample suite, of which one has a score."""
    monkeypatch.setattr(paths, "REPOSITORY", tmp_path)
    blocks = {"pos_tagging": {}, "language_model": {}}
    settings = {"root": ".", "suite": "sample", "own": "params.yaml", "base": {}, "blocks": blocks}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    folder = tmp_path / "data/scores/sample"
    folder.mkdir(parents=True)
    (folder / "pos_tagging.json").write_text(changed())
    return tmp_path


@pytest.mark.usefixtures("checkout")
def test_table_for_the_terminal() -> None:
    head, rule, *rows = tables.table("sample").splitlines()
    assert head.split("  ")[0] == "task"
    cells = {row.split()[0]: row.split() for row in rows}
    units = ["accuracy", "96.50", "%", "97.00", "%", "74.25", "%", "n/a", "3", "42", "s"]
    assert cells["pos_tagging"] == ["pos_tagging", "sample", *units]
    assert cells["language_model"] == ["language_model", "sample", *["n/a"] * 7]
    assert len(rule) == len(head)
    assert head.endswith("seconds")


def test_gap_is_shown_in_nats_for_a_perplexity() -> None:
    numbers = {"metric": "perplexity", "direction": "min", "score": 20.0, "best_possible": 10.0}
    one = score.read(changed(**numbers, baselines={"best_memoryless": 40.0}), "a.json")
    assert one.gap_closed == pytest.approx(0.5)
    assert score.read(changed(best_possible=None), "a.json").gap_closed is None
    assert score.read(changed(), "a.json").gap_closed == pytest.approx(21.5 / 22)


def test_readme_is_rewritten_between_its_markers(checkout: Path) -> None:
    readme = checkout / "README.md"
    performance_part = "<!-- performance:begin -->\nNo figures yet.\n<!-- performance:end -->\n"
    readme.write_text(f"before\n<!-- scores:begin -->\nold\n<!-- scores:end -->\nafter\n{performance_part}")
    tables.write_readme(readme)
    text = readme.read_text()
    row = "| `pos_tagging` | sample | accuracy | 96.50 % | 97.00 % | n/a | 74.25 % | n/a | 97.7 % | 42 | 123,456 |"
    assert row in text.splitlines()
    assert "old" not in text
    assert text.startswith("before\n<!-- scores:begin -->\nSuite `sample`:")
    assert text.endswith(f"No scores yet.\n<!-- scores:end -->\nafter\n{performance_part}")
    tables.write_readme(readme)
    assert readme.read_text() == text


def test_several_seeds_and_simple_baselines_are_shown(checkout: Path) -> None:
    baselines = {"memoryless": 74.25, "most_frequent": 70.0, "by_ending": 71.5}
    own = {"spread": {"min": 96.0, "max": 97.125}, "simple": ["most_frequent", "by_ending"], "baselines": baselines}
    (checkout / "data/scores/sample/pos_tagging.json").write_text(changed(**own))
    text = tables.readme_tables({"sample": scores.read_suite("sample")})
    assert "| 96.50 % (96.00 % to 97.12 %) | 97.00 % |" in text
    assert "| 74.25 % | 71.50 % (by_ending) |" in text
    (row,) = [line for line in tables.table("sample").splitlines() if line.startswith("pos_tagging")]
    assert "96.50 % (96.00 % to 97.12 %)" in row
    assert "71.50 %" in row
    (checkout / "data/scores/sample/pos_tagging.json").write_text(changed(**own, direction="min"))
    assert "70.00 % (most_frequent)" in tables.readme_tables({"sample": scores.read_suite("sample")})


def test_a_score_by_other_settings_says_so(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores.params, "block", lambda suite, name: SimpleNamespace(settings="now"))
    for settings, shown in (("now", "| 96.50 % |"), ("then", "| 96.50 %, by older settings |")):
        (checkout / "data/scores/sample/pos_tagging.json").write_text(changed(settings=settings))
        assert shown in tables.readme_tables({"sample": scores.read_suite("sample")})
        assert ("older" in tables.table("sample")) == (settings == "then")


def test_bad_score_files() -> None:
    with pytest.raises(ConfigError, match=r"a\.json\.scor: unknown key \(did you mean `score`\?\)"):
        score.read(changed(scor=1.0), "a.json")
    with pytest.raises(DataError, match=r"a\.json:1: no JSON"):
        score.read(changed()[:40], "a.json")
    with pytest.raises(DataError, match=r"README\.md: no place for the tables"):
        marked.part("no markers\n", tables.MARKERS)


def committed(path: str) -> str:
    command = ["git", "show", f"HEAD:{path}"]
    return subprocess.run(command, cwd=paths.REPOSITORY, capture_output=True, text=True, check=True).stdout


def test_readme_agrees_with_the_scores_as_committed() -> None:
    """Both from HEAD: what this machine has just measured, or not yet committed, does not count."""
    command = ["git", "ls-tree", "-r", "--name-only", "HEAD", "data/scores/"]
    names = subprocess.run(command, cwd=paths.REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
    found: dict[str, dict[str, score.Score]] = {suite: {} for suite in paths.SUITES}
    for name in names:
        found[Path(name).parent.name][Path(name).stem] = score.read(committed(name), name)
    assert marked.part(committed("README.md"), tables.MARKERS).group(1) == tables.readme_tables(found)
