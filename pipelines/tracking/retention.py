"""What of the server's models and runs may go: looked up, and versions removed."""

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from pipelines.tracking import aliases, environment, models, runs
from pipelines.tracking.evaluation import Registration
from pipelines.tracking.spool import Training


def registered(client: MlflowClient) -> list[Registration]:
    """All versions of all our models."""
    found = []
    for model in client.search_registered_models("name like 'rnn-%'", max_results=1000):
        versions = client.search_model_versions(f"name = '{model.name}'")
        newest = max((int(version.version) for version in versions), default=0)
        held = {int(number) for number in model.aliases.values()} | {newest}
        found += [_registration(version, held) for version in versions]
    return found


def remove(client: MlflowClient, uri: str, gone: Registration) -> None:
    """A version, its logged model and that model's files; unless an alias has come to it meanwhile."""
    mlflow.set_tracking_uri(uri)
    with environment.lock():
        version = client.get_model_version(gone.name, str(gone.version))
        if version.aliases:
            return
        client.delete_model_version(gone.name, str(gone.version))
    # What a version is made of, as `registry` makes it: the store forgets the logged model's id, not its address.
    model_id = (version.source or "").removeprefix("models:/")
    place = client.get_logged_model(model_id).artifact_location
    get_artifact_repository(place, tracking_uri=uri).delete_artifacts()
    client.delete_logged_model(model_id)


def has(client: MlflowClient, training: Training) -> bool:
    """Whether the server has the training's run with its whole curve, ended."""
    run = runs.find(client, training)
    if run is None or run.info.status == "RUNNING":
        return False
    return int(run.data.tags.get(runs.WATERMARK, 0)) == training.num_bytes


def _registration(version: ModelVersion, held: set[int]) -> Registration:
    number = int(version.version)
    judged = aliases.VERDICT in version.tags and "training_id" in version.tags
    return Registration(
        name=version.name,
        version=number,
        run_id=version.run_id or "",
        training_id=version.tags.get("training_id", ""),
        digest=version.tags.get(models.DIGEST, ""),
        superseded=judged and number not in held,
    )
