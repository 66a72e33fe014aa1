"""Settings are strict in names and leaf types, and an error says where, what and what is allowed."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from rnn_core.config import flatten, from_mapping, merge, to_mapping
from rnn_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float
    name: Literal["a", "b"] = "a"


@dataclass(frozen=True, kw_only=True)
class Outer:
    size: int
    inner: Inner
    patience: int | None = None
    betas: tuple[float, ...] = (0.9,)
    words: dict[str, str] = field(default_factory=dict)
    flag: bool = False

    def __post_init__(self):
        if self.size < 1:
            raise ValueError(f"size is {self.size}, wanted is 1 or more")


GOOD = {"size": 3, "inner": {"rate": 1}}


def test_there_and_back():
    config = from_mapping(Outer, GOOD | {"betas": [1, 0.5], "words": {"x": "y"}, "patience": 2}, "p")
    assert config == Outer(size=3, inner=Inner(rate=1.0), betas=(1.0, 0.5), words={"x": "y"}, patience=2)
    assert isinstance(config.inner.rate, float)
    assert from_mapping(Outer, to_mapping(config), "p") == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sise": 3},
            "p.sise: unknown key (did you mean `size`?); allowed are betas, flag, inner, patience, size, words",
        ),
        ({"inner": {"rate": "1e-3"}}, "p.inner.rate: found '1e-3' (text); wanted is a number (YAML reads 1e-3 as text"),
        ({"inner": {}}, "p.inner.rate: missing; wanted is a number"),
        ({"inner": 3}, "p.inner: found 3 (number); a mapping of names to values is wanted"),
        ({"inner": {"rate": 1, "name": "c"}}, "p.inner.name: found 'c' (text); wanted is one of a, b"),
        ({"size": 2.5}, "p.size: found 2.5 (number); wanted is a whole number"),
        ({"size": True}, "p.size: found True (truth value); wanted is a whole number"),
        ({"size": None}, "p.size: found None (null); wanted is a whole number"),
        ({"flag": 1}, "p.flag: found 1 (number); wanted is true or false"),
        ({"patience": "x"}, "p.patience: found 'x' (text); wanted is a whole number"),
        ({"betas": [0.1, "x"]}, "p.betas[1]: found 'x' (text); wanted is a number"),
        ({"words": {"a": 1}}, "p.words.a: found 1 (number); wanted is text"),
        ({"size": 0}, "p: size is 0, wanted is 1 or more"),
    ],
)
def test_mistakes_are_told(change, message):
    with pytest.raises(ConfigError) as raised:
        from_mapping(Outer, GOOD | change, "p")
    assert message in str(raised.value)


def test_merging_and_flattening():
    assert merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"c": 4}, "e": 5}) == {"a": {"b": 1, "c": 4}, "d": 3, "e": 5}
    assert flatten({"a": {"b": 1, "c": {"d": 2}}, "e": []}) == {"a.b": 1, "a.c.d": 2, "e": []}
