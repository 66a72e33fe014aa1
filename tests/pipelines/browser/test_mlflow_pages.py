"""What `make ui` shows, read from MLflow's pages in a real browser: a block's runs, their curves, its model's alias."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import files, register, ui
from tests.pipelines import spooled

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(1500),
    pytest.mark.filterwarnings(spooled.NOLOAD),
]

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 240_000
"""Milliseconds: the pages are large, and the machine may be busy."""
ASSISTANT_CLOSED = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"
"""As after a person's first visit: it takes a quarter of the page."""
TRAININGS = ("recurrent", "recurrent_seed2", "memoryless")


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What `make ui` prints over a store with three runs of pos_tagging and a model, while it serves them."""
    root = tmp_path_factory.mktemp("ui")
    with pytest.MonkeyPatch.context() as patch:
        spooled.machine(tmp_path_factory, root, patch)
        three_runs(root)
        register.register("sample", "pos_tagging")
    command = [sys.executable, "-m", "pipelines.ui", "--port", str(ui.free_port(0))]
    environment = os.environ | {"DVC_ROOT": str(root)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said: dict[str, str] = {}
        for line in process.stdout:
            name, _, address = line.strip().partition("  ")
            said[name] = address.strip()
            if line.startswith("Ctrl+C"):
                break
        assert {"charts", "table", "model"} <= said.keys(), said
        yield said
        process.send_signal(signal.SIGTERM)
        process.communicate()


def three_runs(root: Path) -> None:
    """Two seeds of the recurrent network, and the baseline."""
    spooled.checkout(root, score=96.0, training_id="a" * 32)
    block = root / "data/runs/sample/pos_tagging"
    spooled.training(block / "train/recurrent_seed2", "b" * 32, points=60, training="recurrent_seed2")
    metrics = files.read_json(block / "metrics.json")
    metrics["trainings"]["recurrent_seed2"] = {"accuracy": 95.5}
    files.write_json(block / "metrics.json", metrics)
    evaluated = files.read_json(block / "evaluation/evaluated.json")
    evaluated["trainings"]["recurrent_seed2"] = "b" * 32
    files.write_json(block / "evaluation/evaluated.json", evaluated)


def opened(browser: Any, address: str) -> Any:
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.set_default_timeout(PATIENCE)
    page.add_init_script(ASSISTANT_CLOSED)
    page.goto(address)
    return page


def names() -> list[str]:
    cells = {"memoryless": "memoryless"}
    ids = {"recurrent": "aaaaaa", "recurrent_seed2": "bbbbbb", "memoryless": "aaaaaa"}
    return [f"{training}-{cells.get(training, 'lstm')}-{ids[training]}" for training in TRAININGS]


def test_three_runs_and_a_line_for_each(browser: Any, screens: Path, links: dict[str, str]) -> None:
    page = opened(browser, links["charts"])
    for name in names():
        page.get_by_text(name).first.wait_for()
    # As soon as there is a line for each run, in its own colour.
    page.wait_for_function(
        """() => new Set(Array.from(
            document.querySelector('[data-testid="experiment-view-compare-runs-card"]')
                ?.querySelectorAll('.scatterlayer .trace path.js-line') ?? [],
            line => getComputedStyle(line).stroke)).size >= 3"""
    )
    page.locator(".xtitle").nth(1).wait_for()
    assert {page.locator(".xtitle").nth(i).text_content() for i in range(2)} == {"Step", "seconds"}
    page.screenshot(path=screens / "mlflow-charts.png")
    page.close()


def test_the_table_has_the_columns_that_compare(browser: Any, screens: Path, links: dict[str, str]) -> None:
    page = opened(browser, links["table"])
    for name in names():
        page.get_by_text(name).first.wait_for()
    for column in ("test/accuracy", "training/seconds", "cell"):
        page.get_by_role("columnheader", name=column).first.wait_for()
    page.screenshot(path=screens / "mlflow-runs.png")
    page.close()


def test_the_model_page_shows_its_alias(browser: Any, screens: Path, links: dict[str, str]) -> None:
    page = opened(browser, links["model"])
    page.get_by_text("rnn-pos_tagging").first.wait_for()
    page.get_by_text("@ champion").first.wait_for()
    page.screenshot(path=screens / "mlflow-model.png")
    page.close()
