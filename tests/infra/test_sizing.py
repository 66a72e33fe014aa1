"""Sizing reckoned by hand for a training of ten core-hours."""

import json
import subprocess
from pathlib import Path

import pytest

from infra import scaling, sizing
from infra.sizing import Taken
from pipelines import paths, performance
from pipelines.reports import marked
from tests.infra.test_scaling import LARGE, SMALL
from tests.pipelines.reports.test_tables import changed, committed

TEN = Taken(block="translation", core_hours=10.0, data=2_000_000, results=30_000_000, parameters=7_000_000)


def test_storage_grows_with_the_data_alone() -> None:
    assert [TEN.storage(times) for times in (1, 10, 1000)] == [32e6, 50e6, 2030e6]


def test_as_few_workers_as_do_it_in_a_night() -> None:
    measured = [LARGE, SMALL]
    assert sizing.workers(8.0, measured) == 1
    assert sizing.workers(10.0, measured) == 2
    for hours in (100.0, 1000.0):
        count = sizing.workers(hours, measured)
        assert count is not None
        assert speed(count) * sizing.NIGHT >= hours > speed(count // 2) * sizing.NIGHT
    assert sizing.workers(1e6, measured) is None


def speed(workers: int) -> float:
    return scaling.weak(LARGE.worker, workers, sizing.NETWORK)


def test_page() -> None:
    rows = [line.strip("| ").split(" | ") for line in sizing.page([TEN], [LARGE, SMALL]).splitlines() if "|" in line]
    assert rows[2] == ["`translation`", "7,000,000", "2 MB", "30 MB", "10", "100", "10,000"]
    assert [row[:5] for row in rows[5:]] == [
        ["`translation`", "1x", "2", "0.2", "32 MB"],
        ["`translation`", "10x", "16", "2", "50 MB"],
        ["`translation`", "1,000x", "2,048", "200", "2.03 GB"],
    ]
    assert [row[5:] for row in rows[5:7]] == [
        [f"${2 * 10 / speed(2) * sizing.CORE_HOUR:.2f}", "$0.50", "less than $0.01"],
        [f"${16 * 100 / speed(16) * sizing.CORE_HOUR:.2f}", "$5.00", "less than $0.01"],
    ]
    assert sizing.page([], [LARGE, SMALL]) == sizing.page([TEN], []) == sizing.NO_FIGURES


def test_a_block_is_taken_once_its_score_and_its_data_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    monkeypatch.setattr(sizing, "SUITE", "sample")
    file = paths.score("sample", "pos_tagging")
    file.parent.mkdir(parents=True)
    file.write_text(changed(core_seconds=72_000.0, gpu_seconds=0.0, seeds=[1, 2]))
    assert sizing.taken() == []
    outs = [
        {"path": place("sample", "pos_tagging").relative_to(tmp_path).as_posix(), "md5": "0", "size": 10**power}
        for power, place in enumerate((paths.raw, paths.arrow, paths.train))
    ]
    (tmp_path / "dvc.lock").write_text(json.dumps({"stages": {"all": {"outs": outs}}}))
    assert sizing.taken() == [Taken(block="pos_tagging", core_hours=10.0, data=11, results=100, parameters=123_456)]


def test_page_agrees_with_the_results_as_committed() -> None:
    """As the other tables: what HEAD says of HEAD, where nothing has been trained since."""
    command = ["git", "diff", "--quiet", "HEAD", "--", "data/scores", "pipelines/suites/public/dvc.lock"]
    if subprocess.run(command, cwd=paths.REPOSITORY).returncode:
        pytest.skip("scores have been measured that are not committed yet")
    measured = scaling.measured(performance.read(committed(str(performance.FILE)), "HEAD"))
    part = marked.part(committed("infra/sizing.md"), sizing.MARKERS)
    assert part.group(1) == sizing.page(sizing.taken(), measured)
