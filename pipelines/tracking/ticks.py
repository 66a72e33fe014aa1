"""A tick of scheduled retraining on the server: a run of its own, parent of the runs of what it trained; and what the
registry says of a block's model before and after.
"""

from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from pipelines.tracking import aliases, environment, models, runs
from pipelines.tracking.evaluation import CHAMPION, Standing, Version
from pipelines.tracking.tick import Tick

TAG = "tick"
"""Tag by which a tick's run is found again."""


def send(client: MlflowClient, uri: str, told: Tick) -> str:
    """The tick's run, made or filled anew. Returns its id."""
    with environment.lock():
        experiment = runs.experiment(client, uri, f"retrain/{told.suite}")
        found = client.search_runs([experiment], f"tags.{TAG} = '{told.name}'")
        run = found[0] if found else client.create_run(experiment, told.began, {TAG: told.name}, told.name)
    run_id = str(run.info.run_id)
    client.log_batch(
        run_id,
        [Metric(key, value, told.ended, 0) for key, value in told.metrics.items()],
        [Param(key, value) for key, value in told.params.items() if key not in run.data.params],
        [RunTag(key, value) for key, value in told.tags.items()],
    )
    client.log_artifacts(run_id, str(told.folder))
    for name, training_id in told.trainings:
        if child := runs.find_by_id(client, name, training_id):
            client.set_tag(child.info.run_id, MLFLOW_PARENT_RUN_ID, run_id)
    client.set_terminated(run_id, told.status, told.ended)
    return run_id


def standing(client: MlflowClient, suite: str, block: str) -> Standing:
    """Champion and newest version."""
    name = models.name_of(suite, block)
    versions = {int(one.version): one.tags for one in client.search_model_versions(f"name = '{name}'")}
    if not versions:
        return Standing(champion=None, newest=None)
    champion = models.aliases(client, suite, block).get(CHAMPION)
    both = [number if number in versions else None for number in (champion, max(versions))]
    return Standing(**dict(zip(("champion", "newest"), (_version(n, versions) for n in both), strict=True)))


def _version(number: int | None, tags: Mapping[int, Mapping[str, str]]) -> Version | None:
    if number is None:
        return None
    score = tags[number].get("score")
    return Version(
        number=number,
        score=None if score is None else float(score),
        why=tags[number].get(aliases.VERDICT),
    )
