"""Raw input to an answer, by a model's folder: the same code for the command line, the served model and the tests.

python -m pipelines.predict <block> [--suite sample|public] TEXT     or the path of a file, where the task reads one
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

    @property
    def column(self) -> str:
        """What the task takes: a `text`, a `file` or a `table`; and the name of the served model's column."""
        return self._model.task.INPUT

    def answers(self, inputs: Sequence[str | bytes]) -> list[dict[str, Any]]:
        """One answer for each input: what the task says it is, as JSON values.

        Args:
            inputs: texts, contents of files, or tables as the text of a CSV file.

        Raises:
            DataError: an input that the task cannot read.
        """
        return self._model.task.answers(self._model.network, list(inputs), self._model.sidecar)

    def answers_to_texts(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """As `answers`, but files in base64: a served model's column."""
        return self.answers([networks.from_text(text, self._model.task) for text in texts])

    def read(self, typed: str) -> str | bytes:
        """An input from what was typed: the text itself, else what stands in the file of that name.

        Raises:
            DataError: no such file, or a table that is no UTF-8.
        """
        if self.column == "text":
            return typed
        try:
            content = Path(typed).read_bytes()
            return content if self.column == "file" else content.decode()
        except OSError as error:
            raise DataError(typed, f"cannot be read: {error.strerror}", f"the path of a {self.column}") from error
        except UnicodeDecodeError as error:
            raise DataError(typed, f"byte {error.start} is no UTF-8", "a table in UTF-8") from error


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask the last trained model of a block.")
    parser.add_argument("block", help="name of a block in params.yaml")
    parser.add_argument("input", nargs="+", help="a sentence, a prefix to go on with, or the path of a file")
    parser.add_argument("--suite", default="sample", choices=paths.SUITES)
    arguments = parser.parse_args()
    cli.run(lambda: predict(arguments.suite, paths.block_name(arguments.block), " ".join(arguments.input)))


def predict(suite: str, block: str, typed: str) -> None:
    """Print the answer of the block's model as a line of JSON."""
    folder = paths.train(suite, block)
    if not folder.exists():
        raise DataError(str(folder), "no trained model", f"`make repro SUITE={suite} TASK={block}` trains it")
    predictor = Predictor(folder / networks.chosen(folder) / "model")
    print(json.dumps(predictor.answers([predictor.read(typed)])[0], ensure_ascii=False))


if __name__ == "__main__":
    main()
