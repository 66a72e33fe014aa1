"""Model versions: the trained network as something that takes raw text and gives answers, and the aliases.

A version is self-contained: weights (safetensors), settings (JSON) and the code that reads them, no pickle.
"""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import version as installed
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from pipelines.tracking import environment, spool
from pipelines.tracking.evaluation import Evaluation, Registered, verdict
from pipelines.tracking.spool import Training

CODE = Path(__file__).resolve().parents[2]
PACKAGES = ("rnn_core", "pipelines")
REQUIREMENTS = ("mlflow", "torch", "numpy", "pandas", "pyarrow", "safetensors", "PyYAML")
SERVED = Path(__file__).with_name("served_model.py")


def model_name(training: Training) -> str:
    return spool.model_name(training.facts["suite"], training.facts["block"])


def register(client: MlflowClient, uri: str, training: Training, run: Run, evaluation: Evaluation) -> Registered:
    """See `Tracker.register`."""
    name = model_name(training)
    mlflow.set_tracking_uri(uri)  # the SQL registry looks the logged model up at the global address
    with environment.lock():
        found = client.search_model_versions(f"name = '{name}' and tags.training_id = '{training.id}'")
        version = found[0] if found else _create(client, name, training, run, evaluation)
        # A verdict stands until the evaluation changes: whoever moves the alias by hand has the last word.
        judged = "verdict" in version.tags and evaluation.tags().items() <= version.tags.items()
        why = version.tags["verdict"] if judged else _decide(client, version, evaluation)
    return Registered(name=name, version=int(version.version), new=not judged, why=why)


def _decide(client: MlflowClient, version: ModelVersion, evaluation: Evaluation) -> str:
    name, number = version.name, str(version.version)
    for key, value in evaluation.tags().items():
        client.set_model_version_tag(name, number, key, value)
    newest = max(int(v.version) for v in client.search_model_versions(f"name = '{name}'"))
    client.set_registered_model_alias(name, "challenger", str(newest))
    champion = _champion(client, name)
    if champion is not None and int(champion.version) == int(number):
        why = f"champion: it holds the alias, {evaluation.metric} {evaluation.score:.6g}"
    else:
        holder = (int(champion.version), champion.tags) if champion else (None, {})
        moves, why = verdict(evaluation, *holder)
        if moves:
            client.set_registered_model_alias(name, "champion", number)
    client.update_model_version(name, number, f"{why}. Test data {evaluation.test_digest}.")
    client.set_model_version_tag(name, number, "verdict", why)
    return why


def _champion(client: MlflowClient, name: str) -> ModelVersion | None:
    model = client.get_registered_model(name)
    number = model.aliases.get("champion")
    return client.get_model_version(name, str(number)) if number is not None else None


def _create(client: MlflowClient, name: str, training: Training, run: Run, evaluation: Evaluation) -> ModelVersion:
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    model_id = _logged_model(client, training, run, evaluation)
    tags = {"training_id": training.id, **evaluation.tags()}
    source = f"models:/{model_id}"
    with _quiet():
        return client.create_model_version(name, source, run.info.run_id, tags, model_id=model_id)


def _logged_model(client: MlflowClient, training: Training, run: Run, evaluation: Evaluation) -> str:
    """The run's model on the server, with all its files; one that a killed process left whole is taken."""
    experiment = run.info.experiment_id
    for model in client.search_logged_models([experiment], f"source_run_id = '{run.info.run_id}'"):
        if model.status == "READY":
            return str(model.model_id)
    model = client.create_logged_model(experiment, "model", run.info.run_id, model_type=training.facts["kind"])
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model"
        save(saved, training.folder / "model", evaluation, run.info.run_id, model.model_id)
        client.log_model_artifacts(model.model_id, str(saved))
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def save(
    path: Path, model: Path, evaluation: Evaluation, run_id: str | None = None, model_id: str | None = None
) -> None:
    """A folder in mlflow's format that predicts anywhere: the network's files with the code that reads them.

    The signature comes from the evaluation's example, so no network is run and torch is not imported.
    """
    with _quiet():
        import mlflow.pyfunc
        import pandas
        from mlflow.models import Model, infer_signature

        example = pandas.DataFrame({evaluation.column: [evaluation.input]})
        mlflow.pyfunc.save_model(
            path=str(path),
            python_model=str(SERVED),
            artifacts={"model": str(model)},
            code_paths=[str(CODE / package) for package in PACKAGES],
            pip_requirements=[
                f"{package}=={installed(package).split('+')[0]}" for package in REQUIREMENTS + evaluation.requirements
            ],
            signature=infer_signature(example, pandas.DataFrame([evaluation.answer])),
            input_example=example,
            mlflow_model=Model(run_id=run_id, model_id=model_id, model_uuid=model_id),
        )
    for cache in path.rglob("__pycache__"):
        for file in cache.iterdir():
            file.unlink()
        cache.rmdir()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """mlflow tells of each step, and warns of what its own modules do; none of it is for our user."""
    logger = logging.getLogger("mlflow")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="mlflow")
            yield
    finally:
        logger.setLevel(before)
