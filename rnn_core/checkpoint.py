"""A training state on disk: a folder `step-00000200` of tensors (safetensors) and `state.json`, readable by a person.

The folder appears whole or not at all; what is read is verified by checksum. The carry is stored for all lanes in lane
order, so that another number of workers can take its slices of it. No pickle.
"""

import json
import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rnn_core.bptt import Carry, TrainState
from rnn_core.errors import ConfigError, DataError

FORMAT_VERSION = 1
TENSORS, STATE = "state.safetensors", "state.json"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What a checkpoint gives beside the tensors it put into network and optimizer."""

    update: int
    carry: Carry
    """Of all lanes, in lane order; shaped like the one given to `load`."""
    facts: Mapping[str, Any]


def save(folder: Path, state: TrainState, carry: Carry, *, key: str, facts: Mapping[str, Any], keep: int = 2) -> Path:
    """Write `folder/step-<update>`, then remove all but the newest `keep`; as `write` of a `snapshot`."""
    return write(folder, snapshot(state, carry), update=state.update, key=key, facts=facts, keep=keep)


def snapshot(state: TrainState, carry: Carry) -> dict[str, Tensor]:
    """Copies in memory of all that a state has, which training may go on from.

    Args:
        carry: of all lanes, in lane order.
    """
    tensors = {
        **{f"network.{name}": tensor for name, tensor in _distinct(state.network).items()},
        **_optimizer_tensors(state),
        **{f"average.{name}": tensor for name, tensor in state.average.items()},
        **{f"carry.{place}": tensor for place, tensor in _leaves(carry)},
    }
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }


def write(
    folder: Path, tensors: Mapping[str, Tensor], *, update: int, key: str, facts: Mapping[str, Any], keep: int = 2
) -> Path:
    """Write `folder/step-<update>`, then remove all but the newest `keep`.

    Args:
        tensors: what `snapshot` gave.
        key: names configuration and data; only the same key is loaded again.
        facts: whatever else continues (JSON values): best score, seconds, seed, workers, threads.

    Raises:
        DataError: the disk is full or cannot be written; nothing half-written is left.
    """
    target = folder / f"step-{update:08d}"
    aside = folder / f".writing-{update:08d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".writing-*"):
            shutil.rmtree(left)
        aside.mkdir()
        save_file(dict(tensors), aside / TENSORS)
        written = {
            "format_version": FORMAT_VERSION,
            "key": key,
            "update": update,
            "sha256": _sha256(aside / TENSORS),
            "facts": dict(facts),
        }
        (aside / STATE).write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
        for path in (aside / TENSORS, aside / STATE, aside):
            _sync(path)
        if target.exists():
            shutil.rmtree(target)
        os.replace(aside, target)
        _sync(folder)
    except (OSError, safetensors.SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        found = f"the training state could not be written: {error}"
        raise DataError(
            str(target), found, "free some space; the same command goes on from the state before"
        ) from error
    for old in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(old)
    return target


def load(folder: Path, state: TrainState, carry: Carry, *, key: str, newest: int | None = None) -> Loaded | None:
    """Put the newest whole training state below `folder` into network and optimizer.

    A damaged one is passed over with a warning, for the one before it.

    Args:
        carry: of all lanes, for its structure.
        newest: of a later update none is taken.

    Returns: None where there is no whole state.

    Raises:
        ConfigError: the state is that of another configuration or other data.
    """
    for place in sorted(folder.glob("step-*"), reverse=True):
        if newest is not None and int(place.name.removeprefix("step-")) > newest:
            continue
        try:
            written, tensors = _read(place)
        except DataError as error:
            warnings.warn(f"{error}", stacklevel=2)
            continue
        if written["key"] != key:
            found = f"a training state of configuration {written['key']}, wanted is {key}"
            raise ConfigError(str(place), found, "remove the folder, or give this training another one")
        _restore(state, tensors)
        state.update = written["update"]
        names = iter([name for name, _ in _leaves(carry)])
        return Loaded(update=written["update"], carry=_filled(carry, tensors, names), facts=written["facts"])
    return None


def save_network(network: nn.Module, path: Path) -> None:
    """The weights alone, a tied one once."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in _distinct(network).items()}, path)


def load_network(network: nn.Module, path: Path) -> None:
    """The weights alone, into a network of the same shape.

    Raises:
        DataError: the file is damaged or belongs to a network of another shape.
    """
    try:
        _fill_network(network, load_file(path))
    except (OSError, safetensors.SafetensorError, KeyError, RuntimeError) as error:
        raise DataError(str(path), f"weights that do not fit: {error}", "train the model again") from error


def _read(place: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        written = json.loads((place / STATE).read_text(encoding="utf-8"))
        if written["format_version"] != FORMAT_VERSION:
            found = f"a training state of format version {written['format_version']}"
            raise DataError(str(place), found, f"version {FORMAT_VERSION} is read here")
        if _sha256(place / TENSORS) != written["sha256"]:
            raise DataError(str(place), "the training state is damaged (its checksum is another)", "it is passed over")
        return written, load_file(place / TENSORS)
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise DataError(str(place), f"the training state is damaged: {error}", "it is passed over") from error


def _distinct(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name; one that stands in two places, once."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _fill_network(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in _distinct(network).items():
            if tensor.shape != tensors[name].shape:
                raise RuntimeError(f"{name} has shape {tuple(tensors[name].shape)}, wanted is {tuple(tensor.shape)}")
            tensor.copy_(tensors[name])


def _optimizer_tensors(state: TrainState) -> dict[str, Tensor]:
    """Optimizer slots by the name of their parameter: `optimizer.<slot>.<parameter>`."""
    names = {parameter: name for name, parameter in state.network.named_parameters()}
    slots = {}
    for parameter, values in state.optimizer.state.items():
        for slot, value in values.items():
            if value is not None:
                slots[f"optimizer.{slot}.{names[parameter]}"] = torch.as_tensor(value)
    return slots


def _restore(state: TrainState, tensors: Mapping[str, Tensor]) -> None:
    _fill_network(
        state.network, {k.removeprefix("network."): t for k, t in tensors.items() if k.startswith("network.")}
    )
    parameters = dict(state.network.named_parameters())
    state.average.clear()
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            _, slot, name = key.split(".", 2)
            parameter = parameters[name]
            place = "cpu" if slot == "step" and parameter.device.type == "cpu" else parameter.device
            state.optimizer.state[parameter][slot] = tensor.to(place)
        elif key.startswith("average."):
            name = key.removeprefix("average.")
            state.average[name] = tensor.to(parameters[name].device)


def _leaves(carry: Carry, place: str = "") -> list[tuple[str, Tensor]]:
    if isinstance(carry, Tensor):
        return [(place, carry)]
    return [leaf for i, part in enumerate(carry) for leaf in _leaves(part, f"{place}.{i}" if place else str(i))]


def _filled(carry: Carry, tensors: Mapping[str, Tensor], names: Any) -> Carry:
    if isinstance(carry, Tensor):
        return tensors[f"carry.{next(names)}"].to(carry.device)
    return tuple(_filled(part, tensors, names) for part in carry)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
