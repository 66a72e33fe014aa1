"""Raw input to an answer, by a model's folder: the same code for the command line, the served model and the tests.

python -m pipelines.predict <block> [--suite sample|public] TEXT
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines import cli, networks, paths
from rnn_core.errors import DataError


class Predictor:
    """Answers of one trained model."""

    def __init__(self, folder: Path | str):
        """
        Args:
            folder: `model/` of a training, or the artefact of a registered version.

        Raises:
            DataError: its files are damaged.
        """
        self._model = networks.load(Path(folder))

    def answers(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """One answer for each text: what the task says it is, as JSON values.

        Raises:
            DataError: a text that the task cannot read.
        """
        return self._model.task.answers(self._model.network, list(texts), self._model.sidecar)


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask the last trained model of a block.")
    parser.add_argument("block", help="name of a block in params.yaml")
    parser.add_argument("text", nargs="+", help="a sentence, or a prefix to go on with")
    parser.add_argument("--suite", default="sample", choices=paths.SUITES)
    arguments = parser.parse_args()
    cli.run(lambda: predict(arguments.suite, paths.block_name(arguments.block), " ".join(arguments.text)))


def predict(suite: str, block: str, text: str) -> None:
    """Print the answer of the block's recurrent model as a line of JSON."""
    folder = paths.train(suite, block) / "recurrent/model"
    if not folder.exists():
        raise DataError(str(folder), "no trained model", f"`make repro SUITE={suite} TASK={block}` trains it")
    print(json.dumps(Predictor(folder).answers([text])[0], ensure_ascii=False))


if __name__ == "__main__":
    main()
