"""The page shows what lies on disk, escaped, asks nothing from outside, and does without what has not run."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines import files, paths
from pipelines.pictures.colours import CELL_LOOKS
from pipelines.reports import overview, page
from pipelines.reports.charts import Axis, Mark, strip
from pipelines.reports.markup import element, joined, void
from rnn_core.errors import DataError
from tests.pipelines.reports import results

ENDLESS = {"meta", "link", "img"}


class Parsed(HTMLParser):
    """Every element's name, attributes and own text, in order; fails where elements do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ENDLESS:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += f"{data}\n"

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results.lay_out(tmp_path_factory.mktemp("results"))


@pytest.fixture
def shown(laid_out: Path, monkeypatch: pytest.MonkeyPatch) -> Parsed:
    monkeypatch.setattr(paths, "REPOSITORY", laid_out)
    return Parsed(page.page("sample"))


def test_scores_costs_curves_and_pictures_are_there(shown: Parsed) -> None:
    for said in (
        "95.75 %",
        "95.50 % to 96.00 %",
        "74.25 %",
        "90.00 %",
        "feature tagger",
        "96.7 %",
        "Someone & others <2016>",
    ):
        assert said in shown.text, said
    for said in ("60.5", "363.0", "123,456", "9,000", "2 workers, 3 threads"):
        assert said in shown.text, said
    charts = [one["aria-label"] for one in shown.named("svg") if one.get("class") == "chart"]
    assert sum("loss against updates" in label for label in charts) == 2
    assert sum("loss against seconds" in label for label in charts) == 2
    assert "recurrent (lstm): from 1.84 to 0.3145. carry cut (lstm)" in charts[0]
    assert "memoryless: from" in charts[0]
    assert [one["alt"] for one in shown.named("img")][1].startswith("Which answer was given for which right one")


def test_a_block_that_has_not_run_says_what_makes_it(shown: Parsed) -> None:
    assert "make repro TASK=sentiment" in shown.text
    assert "not measured yet" in shown.text
    assert "make repro TASK=translation" in shown.text, "measured elsewhere: no curves here"
    assert "make repro TASK=pos_tagging" not in shown.text
    assert {one["id"] for one in shown.named("section")} >= {*results.SCORES, "sentiment"}
    assert "3 of 4" in shown.text


def test_nothing_comes_from_outside_and_nothing_runs(shown: Parsed) -> None:
    assert not shown.named("script")
    links = [value for _, attributes in shown.elements for key, value in attributes.items() if key in ("href", "src")]
    assert all(link and link.startswith(("#", "data:")) for link in links)
    assert "url(" not in page.style()
    assert not [name for _, attributes in shown.elements for name in attributes if name.startswith("on")]


def test_tables_are_tables_for_those_who_listen(shown: Parsed) -> None:
    assert len(shown.named("caption")) == len(shown.named("table")) == 2
    assert {one["role"] for one in shown.named("td")} == {"cell"}
    assert all(one["data-label"] for one in shown.named("td"))
    assert all(one["aria-label"] for one in shown.named("svg") if one.get("role") == "img")


def test_equal_results_give_equal_pages(laid_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "REPOSITORY", laid_out)
    assert page.page("sample") == page.page("sample")


def test_a_suite_without_any_results_has_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "REPOSITORY", tmp_path)
    settings = "{root: ., suite: sample, own: params.yaml, base: {}, blocks: {pos_tagging: {}}}"
    files.write_text(tmp_path / "params.yaml", settings)
    assert "0 of 1" in Parsed(page.page("sample")).text
    files.write_text(paths.score("sample", "pos_tagging"), "{")
    with pytest.raises(DataError, match=r"data/scores/sample/pos_tagging\.json:1: no JSON"):
        page.page("sample")


def test_each_cell_has_its_colour_in_the_style() -> None:
    for cell, look in CELL_LOOKS.items():
        assert f".cell-{cell} {{ --cell: {look.colour}; }}" in page.style()


def test_text_and_attributes_are_escaped() -> None:
    made = element("p", "a < b & c", element("b", "bold"), title='"<x>"', data_label="l", class_=None)
    assert made == '<p title="&quot;&lt;x&gt;&quot;" data-label="l">a &lt; b &amp; c<b>bold</b></p>'
    assert void("img", alt="'") == '<img alt="&#x27;">'
    assert joined(["<", element("i", "x")], "&") == "&lt;&amp;<i>x</i>"


@pytest.mark.parametrize(
    ("values", "from_zero", "ticks"),
    [
        ((0.0, 800.0), True, [0, 200, 400, 600, 800]),
        ((0.5, 4.0), False, [1, 2, 3, 4]),
        ((0.4, 9.0), False, [0.5, 1, 2, 5]),
        ((0.003, 5.0), False, [0.01, 0.1, 1]),
        ((2.0, 2.0), False, [1.8, 1.9, 2.0, 2.1, 2.2]),
    ],
)
def test_axes_have_round_ticks(values: tuple[float, float], from_zero: bool, ticks: list[float]) -> None:
    axis = Axis.over(values, (0, 100), from_zero=from_zero)
    assert axis.ticks() == pytest.approx(ticks)
    assert all(0 <= axis.place(tick) <= 100 for tick in ticks)


def test_on_a_strip_the_better_lies_to_the_right() -> None:
    marks = [Mark("own", "score", 20.0), Mark("none", "memoryless", 200.0), Mark("limit", "best", 10.0)]
    label = re.search('aria-label="([^"]*)"', strip(marks, higher_is_better=False, logarithmic=True))
    assert label is not None
    assert label[1] == "From worse to better: none, own, limit"


def test_seconds_are_written_as_people_say_them() -> None:
    said = [overview.duration(seconds) for seconds in (7.2, 125, 3725)]
    assert said == ["7 s", "2 min 05 s", "1 h 02 min"]
