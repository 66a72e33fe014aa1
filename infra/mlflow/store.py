"""The artifact store of the tracking server: its place, its bucket, and all of it copied to a folder and back.

    python -m infra.mlflow.store make     makes the bucket where it is missing, and waits for a store that is starting

Reads MLFLOW_ARTIFACTS_DESTINATION (`s3://bucket/folder`, or an absolute path) and AWS_ENDPOINT_URL, which boto3 reads
by itself and pyarrow does not; keys come from AWS's own variables.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from pyarrow import fs

WAIT_SECONDS = 60
THREADS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description="The artifact store of the tracking server.")
    parser.add_argument("action", choices=("make",))
    parser.parse_args()
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            make()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"error: MLFLOW_ARTIFACTS_DESTINATION {address()}: does not answer: {error}")
            time.sleep(1)


def address() -> str:
    """Ends the process where none is named."""
    return os.environ.get("MLFLOW_ARTIFACTS_DESTINATION") or sys.exit(
        "error: MLFLOW_ARTIFACTS_DESTINATION: found nothing; s3://bucket/folder or an absolute path is wanted"
    )


def place() -> tuple[fs.FileSystem, str]:
    """The file system, and the folder of it."""
    given = address()
    if not given.startswith("s3://"):
        return fs.FileSystem.from_uri(given)
    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL", ""))
    own = {"scheme": endpoint.scheme, "endpoint_override": endpoint.netloc} if endpoint.netloc else {}
    return fs.S3FileSystem(allow_bucket_creation=True, **own), given.removeprefix("s3://").rstrip("/")


def make() -> None:
    system, folder = place()
    system.create_dir(folder, recursive=True)


def save(folder: Path) -> int:
    """Copy all of it below `folder`. Returns how many files."""
    system, source = place()
    target = fs.LocalFileSystem()
    target.create_dir(str(folder))
    return _copy(system, source, target, str(folder))


def load(folder: Path) -> int:
    """Copy all below `folder` into it. Returns how many files."""
    system, target = place()
    system.create_dir(target, recursive=True)
    return _copy(fs.LocalFileSystem(), str(folder), system, target)


def _copy(system: fs.FileSystem, source: str, other: fs.FileSystem, target: str) -> int:
    fs.copy_files(source, target, source_filesystem=system, destination_filesystem=other, use_threads=True)
    there, copied = _sizes(system, source), _sizes(other, target)
    lost = [name for name, size in there.items() if copied.get(name) != size]
    if lost:
        sys.exit(f"error: {target}: {len(lost)} of {len(there)} files are not whole, {lost[0]} for one; try again")
    return len(there)


def _sizes(system: fs.FileSystem, folder: str) -> dict[str, int]:
    found = system.get_file_info(fs.FileSelector(folder, recursive=True))
    return {info.path[len(folder) :].lstrip("/"): info.size for info in found if info.is_file}


if __name__ == "__main__":
    main()
