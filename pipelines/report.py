"""The score files as tables: for the terminal at the end of `make repro`, and for the README (`make readme`).

    python -m pipelines.report [--suite sample|public]     the table of one suite
    python -m pipelines.report --readme                    rewrites the tables between README.md's markers

Shows what stands in data/scores/<suite>/<block>.json and nothing else; what is missing there is `n/a` here. The
README's other tables are the benchmarks' (`pipelines/performance.py`).
"""

import argparse
import math
import re
from collections.abc import Mapping
from pathlib import Path

from pipelines import cli, files, params, paths, performance
from pipelines.score import Score, read
from rnn_core.errors import DataError

NOTHING = "n/a"
OLDER = ", by older settings"
PERCENTAGES = ("accuracy", "word_error_rate", "character_error_rate")
MARKERS = ("<!-- scores:begin -->", "<!-- scores:end -->")


def read_suite(suite: str) -> dict[str, Score]:
    """All score files of a suite by the name of their block."""
    found = sorted(paths.score(suite, "any").parent.glob("[!.]*.json"))
    return {file.stem: read(file.read_text(encoding="utf-8"), str(file.relative_to(paths.root()))) for file in found}


def table(suite: str) -> str:
    """A line for each block of the suite, aligned, for the terminal."""
    head = ["task", "suite", "metric", "score", "best possible", "memoryless", "simple", "model version", "seconds"]
    scores = read_suite(suite)
    older = outdated(suite, scores)
    rows = [[block, suite, *_terminal_cells(scores.get(block), block in older)] for block in params.blocks(suite)]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join("  ".join(_pad(row, widths)).rstrip() for row in [head, rule, *rows])


def readme_tables(suites: Mapping[str, Mapping[str, Score]]) -> str:
    """The README's Markdown between its markers: a table a suite, in the order of `paths.SUITES`."""
    return "\n\n".join(
        f"Suite `{suite}`:\n\n{_markdown(scores, outdated(suite, scores))}"
        for suite, scores in ((suite, suites.get(suite, {})) for suite in paths.SUITES)
    )


def outdated(suite: str, scores: Mapping[str, Score]) -> set[str]:
    """The blocks whose score was measured with other settings than stand in the params file now."""
    known = {block: score.settings for block, score in scores.items() if score.settings is not None}
    present = set(params.blocks(suite)) & set(known) if known else set()
    return {block for block in present if params.block(suite, block).settings != known[block]}


def readme_part(text: str, markers: tuple[str, str] = MARKERS) -> re.Match[str]:
    """What stands between the markers (group 1) of a README's text.

    Raises:
        DataError: a marker is missing.
    """
    begin, end = map(re.escape, markers)
    match = re.search(f"(?<={begin}\n)(.*?)\n?(?={end})", text, re.DOTALL)
    if match is None:
        raise DataError("README.md", "no place for the tables", f"the lines {markers[0]} and {markers[1]} are wanted")
    return match


def write_readme(file: Path) -> None:
    """Rewrite the tables in place."""
    text = file.read_text(encoding="utf-8")
    scores = readme_tables({suite: read_suite(suite) for suite in paths.SUITES})
    benchmarks = performance.readme_tables(performance.read_file(paths.root() / performance.FILE))
    for markers, tables in ((MARKERS, scores), (performance.MARKERS, benchmarks)):
        part = readme_part(text, markers)
        text = f"{text[: part.start()]}{tables}\n{text[part.end() :]}"
    files.write_text(file, text)


def _terminal_cells(score: Score | None, older: bool) -> list[str]:
    if score is None:
        return [NOTHING] * 7
    shown = [_with_spread(score) + OLDER * older, _number(score.best_possible, score.metric)]
    shown += [_number(score.baselines.get("memoryless"), score.metric), _simple(score)[0]]
    version = NOTHING if score.model_version is None else str(score.model_version)
    return [score.metric, *shown, version, f"{score.seconds:.0f} s"]


def _markdown(scores: Mapping[str, Score], older: set[str]) -> str:
    head = ["task", "data", "metric", "score", "best possible", "published", "memoryless baseline"]
    head += ["simple baseline", "share of the gap closed", "seconds", "parameters"]
    rows = [head, ["---"] * 3 + ["---:"] * 2 + ["---", "---:", "---"] + ["---:"] * 3]
    rows += [_readme_cells(block, scores[block], block in older) for block in sorted(scores)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) if scores else "No scores yet."


def _readme_cells(block: str, score: Score, older: bool) -> list[str]:
    published = NOTHING
    if score.published:
        published = f"{_number(score.published.score, score.metric)} ({score.published.source})"
    gap = NOTHING if score.gap_closed is None else f"{100 * score.gap_closed:.1f} %"
    simple, name = _simple(score)
    cells = [f"`{block}`", score.dataset, score.metric, _with_spread(score) + OLDER * older]
    cells += [_number(score.best_possible, score.metric), published]
    cells += [_number(score.baselines.get("memoryless"), score.metric), f"{simple} ({name})" if name else simple, gap]
    return [*cells, f"{score.seconds:.0f}", f"{score.parameters:,}"]


def _with_spread(score: Score) -> str:
    """The score; of several seeds the mean, with the lowest and the highest."""
    shown = _number(score.score, score.metric)
    if score.spread is None:
        return shown
    return f"{shown} ({_number(score.spread.min, score.metric)} to {_number(score.spread.max, score.metric)})"


def _simple(score: Score) -> tuple[str, str]:
    """The best of the field's simple baselines, and its name; without any, no name."""
    best = max if score.direction == "max" else min
    name = best(score.simple, key=score.baselines.__getitem__, default="")
    return _number(score.baselines.get(name), score.metric), name


def _number(value: float | None, metric: str) -> str:
    """Four significant digits and the unit."""
    if value is None:
        return NOTHING
    digits = max(0, 3 - math.floor(math.log10(abs(value)))) if value else 1
    return f"{value:.{digits}f}{' %' if metric in PERCENTAGES else ''}"


def _pad(row: list[str], widths: list[int]) -> list[str]:
    """Text to the left, numbers to the right."""
    pairs = list(zip(row, widths, strict=True))
    return [cell.ljust(width) for cell, width in pairs[:3]] + [cell.rjust(width) for cell, width in pairs[3:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--suite", default="sample", choices=paths.SUITES)
    parser.add_argument("--readme", action="store_true", help="rewrite the tables of README.md")
    arguments = parser.parse_args()
    if arguments.readme:
        cli.run(lambda: write_readme(paths.root() / "README.md"))
    else:
        cli.run(lambda: print(table(arguments.suite)))


if __name__ == "__main__":
    main()
