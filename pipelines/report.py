"""Stage `report`: what a suite has reached, as one page that opens without a server: data/reports/<suite>.html.

    python -m pipelines.report [--suite sample|public]

Shows what lies on disk; blocks that have not run are named, and their places left empty.
"""

import argparse

from pipelines import cli, files, paths
from pipelines.reports import page


def report(suite: str) -> None:
    """Write the page of a suite.

    Raises:
        UserError: a score file or the params file is damaged.
    """
    file = paths.report(suite)
    files.write_text(file, page.page(suite))
    print(f"The report is {file}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--suite", default="sample", choices=paths.SUITES)
    arguments = parser.parse_args()
    cli.run(lambda: report(arguments.suite))


if __name__ == "__main__":
    main()
