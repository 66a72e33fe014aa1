"""What a model version runs (mlflow's models-from-code): raw input in, a column an answer out.

    mlflow models predict -m "models:/rnn-pos_tagging@champion" --env-manager local -i input.json -t json

with `{"dataframe_records": [{"text": "a sentence"}]}` in `input.json`. The version brings `rnn_core` and `pipelines`
with it; nothing but their requirements must be installed.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class Answers(PythonModel):
    """The column that the task takes: `text` (a sentence for a tagger, a prefix for a language model), `file` (contents
    in base64) or `table` (the text of a CSV file)."""

    def load_context(self, context: PythonModelContext) -> None:
        from pipelines.predict import Predictor  # torch: at loading, not when the version is made

        self.predictor = Predictor(Path(context.artifacts["model"]))

    def predict(
        self, context: PythonModelContext, model_input: pandas.DataFrame, params: dict[str, Any] | None = None
    ) -> pandas.DataFrame:
        texts = [str(text) for text in model_input[self.predictor.column]]
        return pandas.DataFrame(self.predictor.answers_to_texts(texts))


mlflow.models.set_model(Answers())
