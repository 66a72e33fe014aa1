"""A registered model version found by alias or number, and its files brought to this machine, verified.

Versions hold the network's files (`model.json`, `sidecar.json`, weights) in mlflow's format; what is brought is these
files alone, into `data/models/<sha256 of their contents>`: one copy whatever the server, the name and the alias.
"""

from dataclasses import dataclass
from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from pipelines import files, paths
from pipelines.tracking import environment
from rnn_core.errors import DataError

DIGEST = "model_sha256"
"""Tag of a version: the digest of its network's files, set when it is registered."""
NETWORK = "artifacts/model"
"""Where they lie in a folder of mlflow's format."""


@dataclass(frozen=True, kw_only=True)
class Brought:
    """A version whose files are here."""

    name: str
    version: int
    aliases: tuple[str, ...]
    folder: Path
    """What `networks.load` takes. Shared with all that use this version: only to be read."""


def name_of(suite: str, block: str) -> str:
    """`rnn-<block>` for the sample suite, `rnn-<suite>-<block>` for another: suites never share an alias."""
    return f"rnn-{block}" if suite == "sample" else f"rnn-{suite}-{block}"


def bring(client: MlflowClient, uri: str, suite: str, block: str, wanted: str) -> Brought:
    """See `Tracker.bring`."""
    held = aliases(client, suite, block)
    version = find(client, suite, block, wanted)
    number = int(version.version)
    own = tuple(sorted(alias for alias, holder in held.items() if holder == number))
    return Brought(name=version.name, version=number, aliases=own, folder=fetch(client, uri, version))


def find(client: MlflowClient, suite: str, block: str, wanted: str) -> ModelVersion:
    """The version of a block's model with that alias or number.

    Raises:
        DataError: no such model, alias or version; those that there are are listed.
    """
    name, held = name_of(suite, block), aliases(client, suite, block)
    versions = {int(v.version): v for v in client.search_model_versions(f"name = '{name}'")}
    number = int(wanted) if wanted.isdecimal() else held.get(wanted)
    if number not in versions:
        borne = ", ".join(f"{alias} (version {holder})" for alias, holder in sorted(held.items())) or "none"
        numbers = ", ".join(map(str, sorted(versions))) or "none"
        raise DataError(name, f"no alias or version `{wanted}`", f"aliases: {borne}; versions: {numbers}")
    return versions[number]


def fetch(client: MlflowClient, uri: str, version: ModelVersion) -> Path:
    """The folder with a version's network, downloaded where this machine lacks it; never half of it.

    Raises:
        DataError: the version tells no digest, or its files are other ones.
    """
    wanted = version.tags.get(DIGEST)
    if wanted is None:
        found = f"version {version.version} tells no `{DIGEST}`: not registered by `pipelines.register`, or long ago"
        raise DataError(version.name, found, "`make repro` registers a block's trained model")
    folder = paths.models() / wanted
    with environment.lock():  # of two processes that want the same, one downloads
        if not folder.exists() or files.sha256_folder(folder) != wanted:
            with files.whole_folder(folder) as aside:
                _download(client, uri, version, aside)
                if (found := files.sha256_folder(aside)) != wanted:
                    where = f"{version.name} version {version.version}"
                    raise DataError(where, f"files with the sha256 {found}", f"{wanted}, as registered")
    return folder


def aliases(client: MlflowClient, suite: str, block: str) -> dict[str, int]:
    """Of a block's model, by name of the alias: the version that bears it."""
    name = name_of(suite, block)
    found = client.search_registered_models(f"name = '{name}'")
    if not found:
        prefix = name.removesuffix(block)
        names = [model.name for model in client.search_registered_models("name like 'rnn-%'", max_results=1000)]
        own = [n for n in names if n.startswith(prefix) and "-" not in n.removeprefix(prefix)]
        listed = ", ".join(sorted(own)) or "none"
        allowed = f"registered are: {listed}; `make repro SUITE={suite} TASK={block}` trains and registers a block"
        raise DataError(name, "no registered model", allowed)
    return {alias: int(number) for alias, number in found[0].aliases.items()}


def _download(client: MlflowClient, uri: str, version: ModelVersion, into: Path) -> None:
    """The network's files from the version's logged model, straight into a folder."""
    source = client.get_model_version_download_uri(version.name, version.version)
    if version.model_id:
        source = client.get_logged_model(version.model_id).artifact_location
    got = mlflow.artifacts.download_artifacts(f"{source}/{NETWORK}", dst_path=str(into), tracking_uri=uri)
    # mlflow keeps the name of what it downloads, and for some stores the way to it.
    for path in Path(got).iterdir():
        path.rename(into / path.name)
    for empty in (Path(got), *Path(got).parents):
        if empty == into:
            break
        empty.rmdir()
