"""Dynamic time warping against the plain recursion, one pair at a time."""

import numpy as np
import pytest

from rnn_core.speech import warping
from rnn_core.speech.warping import Templates


def by_definition(query_TD: np.ndarray, template_LD: np.ndarray) -> float:
    table = np.full((len(query_TD) + 1, len(template_LD) + 1), np.inf)
    table[0, 0] = 0
    for t, query_D in enumerate(query_TD, 1):
        for step, template_D in enumerate(template_LD, 1):
            before = min(table[t - 1, step - 1], table[t - 1, step], table[t, step - 1])
            table[t, step] = before + np.sqrt(((query_D - template_D) ** 2).sum())
    return table[-1, -1] / (len(query_TD) + len(template_LD))


def sequences(lengths: list[int], seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.normal(size=(length, 3)).astype(np.float32) for length in lengths]


@pytest.mark.parametrize("cells", [1 << 22, 300, 1])
def test_costs_are_those_of_the_recursion(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warping, "TABLE_CELLS", cells)
    templates = sequences([5, 1, 9, 5, 2, 7])
    for query_TD in sequences([1, 4, 11], seed=1):
        expected = [by_definition(query_TD, template_LD) for template_LD in templates]
        np.testing.assert_allclose(Templates(templates).costs(query_TD), expected, rtol=1e-5)


def test_dwelling_costs_nothing() -> None:
    (template_LD, other_LD) = sequences([4, 6])
    costs_N = Templates([template_LD, other_LD]).costs(np.repeat(template_LD, [1, 3, 2, 1], axis=0))
    assert costs_N[0] == pytest.approx(0, abs=1e-3)
    assert costs_N[1] > 0.1
