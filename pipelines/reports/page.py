"""The whole page of a suite: one HTML file that asks nothing from outside and runs no script."""

from pathlib import Path

from pipelines.pictures.colours import CELL_LOOKS, ON_DARK
from pipelines.reports import gathered, overview, sections
from pipelines.reports.gathered import Block
from pipelines.reports.markup import Markup, element, joined, void

STYLE = Path(__file__).with_name("page.css")


def page(suite: str) -> str:
    """The text of the file; equal results give equal bytes.

    Raises:
        UserError: a score file is damaged, or the params file.
    """
    blocks = gathered.blocks(suite)
    title = f"Recurrent networks: suite {suite}"
    head = element(
        "head",
        void("meta", charset="utf-8"),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        void("link", rel="icon", href="data:,"),
        element("style", Markup(style())),
    )
    body = element("body", _header(title, blocks), _main(suite, blocks), _footer(suite))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def style() -> str:
    """The style sheet, with the colours of cells as they are in all pictures."""
    light = "".join(f".cell-{cell} {{ --cell: {look.colour}; }}\n" for cell, look in CELL_LOOKS.items())
    dark = "".join(
        f".cell-{cell} {{ --cell: {ON_DARK[look.colour]}; }} "
        for cell, look in CELL_LOOKS.items()
        if look.colour in ON_DARK
    )
    return f"{STYLE.read_text(encoding='utf-8')}{light}@media (prefers-color-scheme: dark) {{ {dark}}}\n"


def _header(title: str, blocks: list[Block]) -> Markup:
    links = [element("li", element("a", block.name.replace("_", " "), href=f"#{block.name}")) for block in blocks]
    lead = "What recurrent networks reach on each task, beside networks without memory and simple methods."
    return element(
        "header",
        element("h1", title),
        element("p", lead, class_="quiet"),
        overview.figures(blocks),
        element("nav", element("ul", *links), aria_label="Tasks"),
    )


def _main(suite: str, blocks: list[Block]) -> Markup:
    parts = [element("section", element("h2", "Scores"), overview.score_table(blocks), id="scores")]
    if any(block.trainings or block.score for block in blocks):
        parts.append(element("section", element("h2", "Cost"), overview.cost_table(blocks), id="cost"))
    for block in blocks:
        command = f"make repro{'' if suite == 'sample' else f' SUITE={suite}'} TASK={block.name}"
        parts.append(sections.section(block, command))
    return element("main", *parts)


def _footer(suite: str) -> Markup:
    sources = joined(
        [
            "Made by the stage ",
            element("code", "report"),
            " from ",
            element("code", f"data/scores/{suite}"),
            " and ",
            element("code", f"data/runs/{suite}"),
            "; all runs, curves, pictures and models are in MLflow: ",
            element("code", "make ui"),
            ".",
        ]
    )
    return element("footer", element("p", sources))
