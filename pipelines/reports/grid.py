"""Tables that a narrow screen shows as cards: every cell carries the name of its column."""

from collections.abc import Sequence
from typing import NamedTuple

from pipelines.reports.markup import Markup, element, joined


class Column(NamedTuple):
    name: str
    class_: str | None = None


Row = Sequence[str]
"""A cell for each column; the first is the row's heading."""


def table(
    caption: str, columns: Sequence[Column], groups: Sequence[Sequence[Row]], class_: str | None = None
) -> Markup:
    """A table with a body for each group of rows; columns that are empty in all of them are left out.

    Roles are named: as cards, browsers forget that it is a table.
    """
    told = [i for i in range(len(columns)) if any(row[i] for group in groups for row in group)]
    columns = [columns[i] for i in told]
    groups = [[[row[i] for i in told] for row in group] for group in groups]
    head = [element("th", column.name, scope="col", role="columnheader", class_=column.class_) for column in columns]
    bodies = [
        element("tbody", *(_row(columns, row) for row in group), role="rowgroup", class_="group") for group in groups
    ]
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *head, role="row"), role="rowgroup"),
        *bodies,
        role="table",
        class_=class_,
    )


def _row(columns: Sequence[Column], row: Row) -> Markup:
    first, *others = row
    cells = [element("th", first, scope="row", role="rowheader")]
    for column, content in zip(columns[1:], others, strict=True):
        classes = " ".join(filter(None, (column.class_, None if content else "empty")))
        said = element("span", content)
        cells.append(element("td", said, role="cell", data_label=column.name, class_=classes or None))
    return element("tr", *cells, role="row")


def beside(text: str, *small: str) -> Markup:
    """A cell's text with smaller lines beneath it, of those that say something."""
    return joined([text, *(element("small", line) for line in small if line)])
