"""HTML and SVG from Python: elements whose every text and attribute is escaped."""

import html


class Markup(str):
    """Text that is HTML already; all other text is escaped where it enters an element."""


def element(name: str, /, *content: str, **attributes: str | float | None) -> Markup:
    """`<name attribute="...">content</name>`.

    Args:
        attributes: `_` in a name stands for `-`, one at its end is left out (`class_`); None is no attribute.
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{said}>{joined(content)}</{name}>")


def void(name: str, /, **attributes: str | float | None) -> Markup:
    """An element that has no content and no end: `<img ...>`."""
    return Markup(element(name, **attributes).removesuffix(f"</{name}>"))


def joined(parts: list[str] | tuple[str, ...], between: str = "") -> Markup:
    """Parts one after the other, escaped where they are no markup."""
    return Markup(html.escape(between).join(p if isinstance(p, Markup) else html.escape(p) for p in parts))
