"""What a model version runs (mlflow's models-from-code): raw input in, a column an answer out.

    mlflow models serve -m "models:/rnn-pos_tagging@champion" --env-manager local --port 5001

answers `{"dataframe_records": [{"text": "a sentence"}]}` at `/invocations`; what cannot be answered is status 400. The
version brings `rnn_core` and `pipelines` with it; nothing but their requirements must be installed.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class Answers(PythonModel):
    """The column that the task takes: `text` (a sentence for a tagger, a prefix for a language model), `file` (contents
    in base64) or `table` (the text of a CSV file)."""

    def load_context(self, context: PythonModelContext) -> None:
        from pipelines.using.predictor import Predictor  # torch: at loading, not when the version is made

        self.predictor = Predictor(Path(context.artifacts["model"]))

    def predict(
        self, context: PythonModelContext, model_input: pandas.DataFrame, params: dict[str, Any] | None = None
    ) -> pandas.DataFrame:
        from rnn_core.errors import UserError

        column = self.predictor.column
        texts = list(model_input[column]) if column in model_input else []
        try:
            return pandas.DataFrame(self.predictor.answers_to_texts(texts))
        except UserError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error


mlflow.models.set_model(Answers())
