"""Settings: a mapping (from YAML or JSON) into frozen dataclasses, strict in names and in leaf types.

No value is converted on the way: YAML reads `1e-3` as text, and text is no number here.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from rnn_core.errors import ConfigError

Config = TypeVar("Config")


def from_mapping(cls: type[Config], mapping: Any, where: str) -> Config:
    """A dataclass from a mapping.

    Args:
        cls: a dataclass; its fields may be dataclasses, leaf types, `Literal`, `tuple[T, ...]`,
            `dict[str, T]`, and unions of these with None.
        mapping: names to values.
        where: dotted key of the mapping, for messages ("params.yaml: blocks.pos_tagging.train").

    Raises:
        ConfigError: unknown or missing name, wrong type, or a `ValueError` of the dataclass's own check.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(where, f"found {_show(mapping)}", "a mapping of names to values is wanted")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in mapping:
        if name not in fields:
            close = difflib.get_close_matches(str(name), fields, 1)
            hint = f" (did you mean `{close[0]}`?)" if close else ""
            raise ConfigError(f"{where}.{name}", f"unknown key{hint}", f"allowed are {', '.join(sorted(fields))}")
    hints = typing.get_type_hints(cls)
    values = {}
    for name, field in fields.items():
        if name in mapping:
            values[name] = _value(hints[name], mapping[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}.{name}", "missing", f"wanted is {_name(hints[name])}")
    try:
        return cls(**values)
    except ValueError as error:
        raise ConfigError(where, str(error), "see the values above") from error


def to_mapping(config: Any) -> dict[str, Any]:
    """The inverse of `from_mapping`: plain dicts, lists and leaves, fit for JSON."""
    return dataclasses.asdict(config)


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested names as dotted keys: {"a": {"b": 1}} gives {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for name, value in mapping.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{key}."))
        else:
            flat[key] = value
    return flat


def merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`base` overlaid with `own`, mappings merged in depth, everything else replaced."""
    merged = dict(base)
    for name, value in own.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = merge(merged[name], value) if both else value
    return merged


def check_whole(where: str, **values: int) -> None:
    """Raises ConfigError, at `where.<name>`, for the first of these that is below 1."""
    for name, value in values.items():
        if value < 1:
            raise ConfigError(f"{where}.{name}", f"found {value}", "a whole number from 1 on is wanted")


def check_rates(where: str, **rates: float) -> None:
    """Raises ConfigError, at `where.<name>`, for the first of these that is below 0, or 1 and above."""
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ConfigError(f"{where}.{name}", f"found {rate}", "a rate from 0 to below 1 is wanted")


def check_amounts(where: str, **amounts: float) -> None:
    """Raises ConfigError, at `where.<name>`, for the first of these that is below 0 or no number."""
    for name, amount in amounts.items():
        if not 0 <= amount < math.inf:
            raise ConfigError(f"{where}.{name}", f"found {amount}", "a number from 0 on is wanted")


def _value(wanted: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        choices = [a for a in arguments if a is not type(None)]
        if len(choices) == 1:
            return _value(choices[0], value, where)
        for choice in choices:
            if _is_leaf(choice, value):
                return value
    elif dataclasses.is_dataclass(wanted):
        return from_mapping(typing.cast(type[Any], wanted), value, where)
    elif origin is Literal:
        if any(value == a and type(value) is type(a) for a in arguments):
            return value
    elif origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_value(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    elif origin is dict and isinstance(value, Mapping):
        return {k: _value(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    elif _is_leaf(wanted, value):
        return float(value) if wanted is float else value
    raise ConfigError(where, f"found {_show(value)}", f"wanted is {_name(wanted)}{_hint(wanted, value)}")


def _is_leaf(wanted: Any, value: Any) -> bool:
    if isinstance(value, bool):
        return wanted is bool
    if wanted is float:
        return isinstance(value, (int, float))
    return isinstance(wanted, type) and isinstance(value, wanted)


def _name(wanted: Any) -> str:
    if typing.get_origin(wanted) is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(wanted)))
    if typing.get_origin(wanted) in (typing.Union, types.UnionType):
        return " or ".join(_name(a) for a in typing.get_args(wanted))
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}
    if dataclasses.is_dataclass(wanted):
        return "a mapping of names to values"
    return names.get(wanted, str(wanted).replace("typing.", ""))


def _show(value: Any) -> str:
    kinds = {str: "text", int: "number", float: "number", bool: "truth value", list: "list", dict: "mapping"}
    return f"{value!r} ({kinds.get(type(value), 'null' if value is None else type(value).__name__)})"


def _hint(wanted: Any, value: Any) -> str:
    if not isinstance(value, str) or float not in (wanted, *typing.get_args(wanted)):
        return ""
    try:
        return f" (YAML reads {value} as text: write {float(value)!r} or 1.0e-3)"
    except ValueError:
        return ""
