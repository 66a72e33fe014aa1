"""The report in a real browser, as wide as a desk's screen and as narrow as a telephone's."""

from pathlib import Path
from typing import Any

import pytest

from pipelines import paths, report
from tests.pipelines.reports import results

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "REPOSITORY", results.lay_out(tmp_path_factory.mktemp("results")))
        report.report("sample")
        return paths.report("sample")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_nothing_is_amiss(browser: Any, screens: Path, file: Path, width: int, scheme: str) -> None:
    said: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.screenshot(path=screens / f"report-{width}-{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.documentElement.clientWidth") == width, "no bar at the side hides a part of it"
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    shown = "[...document.querySelectorAll('table, figure, h2, p')]"
    beyond = f"{shown}.filter(one => one.getBoundingClientRect().right > innerWidth)"
    assert page.evaluate(f"{beyond}.length") == 0
    page.close()


def test_a_link_leads_to_its_block_and_a_narrow_table_names_its_numbers(browser: Any, file: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(file.as_uri())
    page.get_by_role("navigation").get_by_role("link", name="pos tagging").click()
    page.wait_for_url("**/sample.html#pos_tagging")
    assert page.locator("#pos_tagging h2").is_visible()
    label = "getComputedStyle(document.querySelector('#scores td'), '::before').content"
    assert page.evaluate(label) == '"metric"'
    assert page.get_by_role("table").count() == 2, "cards on the screen, tables for a screen reader"
    page.close()


def test_colours_of_a_cell_are_those_of_its_pictures(browser: Any, file: Path) -> None:
    page = browser.new_page()
    page.goto(file.as_uri())
    stroke = "getComputedStyle(document.querySelector('#language_model .curve.cell-lstm path')).stroke"
    assert page.evaluate(stroke) == "rgb(0, 114, 178)"
    page.close()
