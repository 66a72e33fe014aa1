"""The score files as tables: for the terminal at the end of `make repro`, and for the README (`make readme`).

    python -m pipelines.reports.tables [--suite sample|public]     the table of one suite
    python -m pipelines.reports.tables --readme                    rewrites the tables between README.md's markers

Shows what stands in data/scores/<suite>/<block>.json and nothing else; what is missing there is `n/a` here. The
README's other tables are the benchmarks' (`pipelines/performance.py`).
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from pipelines import cli, params, paths, performance
from pipelines.reports import marked
from pipelines.reports.scores import NOTHING, OLDER, gap, number, outdated, read_suite, simple, with_spread
from pipelines.score import Score

MARKERS = ("<!-- scores:begin -->", "<!-- scores:end -->")


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


def write_readme(file: Path) -> None:
    """Rewrite the tables in place."""
    scores = readme_tables({suite: read_suite(suite) for suite in paths.SUITES})
    benchmarks = performance.readme_tables(performance.read_file(paths.root() / performance.FILE))
    marked.write(file, {MARKERS: scores, performance.MARKERS: benchmarks})


def _terminal_cells(score: Score | None, older: bool) -> list[str]:
    if score is None:
        return [NOTHING] * 7
    shown = [with_spread(score) + OLDER * older, number(score.best_possible, score.metric)]
    shown += [
        number(score.baselines.get("memoryless"), score.metric),
        number(score.baselines.get(simple(score)), score.metric),
    ]
    version = NOTHING if score.model_version is None else str(score.model_version)
    return [score.metric, *shown, version, f"{score.seconds:.0f} s"]


def _markdown(scores: Mapping[str, Score], older: set[str]) -> str:
    head = ["task", "data", "metric", "score", "best possible", "published", "memoryless baseline"]
    head += ["simple baseline", "share of the gap closed", "seconds", "parameters"]
    rows = [head, ["---"] * 3 + ["---:"] * 2 + ["---", "---:", "---"] + ["---:"] * 3]
    rows += [_readme_cells(block, scores[block], block in older) for block in sorted(scores)]
    return marked.table(rows) if scores else "No scores yet."


def _readme_cells(block: str, score: Score, older: bool) -> list[str]:
    published = NOTHING
    if score.published:
        published = f"{number(score.published.score, score.metric)} ({score.published.source})"
    name = simple(score)
    shown = number(score.baselines.get(name), score.metric)
    cells = [f"`{block}`", score.dataset, score.metric, with_spread(score) + OLDER * older]
    cells += [number(score.best_possible, score.metric), published]
    cells += [number(score.baselines.get("memoryless"), score.metric), f"{shown} ({name})" if name else shown]
    return [*cells, gap(score), f"{score.seconds:.0f}", f"{score.parameters:,}"]


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
