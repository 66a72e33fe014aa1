"""Masks of time and frequency: a pure function of seed, epoch and example, of the sizes that the settings say."""

import dataclasses
import math

import pytest
import torch

from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.lanes import Window
from rnn_core.speech import augmentation
from rnn_core.speech.augmentation import SpecAugment

M = 12
AUGMENT = SpecAugment(
    time_masks=1, time_share=0.5, time_steps=6, band_masks=1, band_width=4, time_warp=0.0, band_warp=0.0
)
WARPED = dataclasses.replace(AUGMENT, time_masks=0, band_masks=0, time_warp=0.4, band_warp=0.3)


def window(examples: list[int], steps: int = 20, seed: int = 1, epoch: int = 0, update: int = 0) -> Window:
    """One example a lane."""
    lanes_B = torch.arange(len(examples))
    fields = {
        "row_TB": lanes_B.expand(steps, -1),
        "step_TB": torch.arange(steps)[:, None].expand(-1, len(examples)),
        "examples_N": torch.tensor(examples),
        "lengths_N": torch.full((len(examples),), steps),
    }
    marks_TB = torch.ones(steps, len(examples), dtype=torch.bool)
    draws = Draws(seed=seed, update=update, lanes_B=lanes_B)
    return Window(fields=fields, starts_TB=marks_TB, valid_TB=marks_TB, epoch=epoch, draws=draws)


def kept(augment: SpecAugment = AUGMENT, **where) -> torch.Tensor:
    """What stays of ones: True where it stays."""
    one = window(**where)
    return augment(torch.ones(*one.valid_TB.shape, M), one, M) == 1


def test_only_seed_epoch_and_example_count() -> None:
    whole_TBM = kept(examples=[4, 9, 2])
    assert torch.equal(kept(examples=[9, 4], update=7), whole_TBM[:, [1, 0]])
    for changed in ({"examples": [5, 9, 2]}, {"examples": [4, 9, 2], "epoch": 1}, {"examples": [4, 9, 2], "seed": 2}):
        assert not torch.equal(kept(**changed)[:, 0], whole_TBM[:, 0])


def test_a_mask_is_one_span_of_steps_and_one_of_bands() -> None:
    kept_TBM = kept(examples=list(range(200)))
    widths, steps = set(), set()
    for b in range(200):
        hidden_TM = ~kept_TBM[:, b]
        whole_T, whole_M = hidden_TM.all(1), hidden_TM.all(0)
        assert torch.equal(hidden_TM, whole_T[:, None] | whole_M)
        for hidden in (whole_T, whole_M):
            assert int(torch.diff(hidden.int()).abs().sum()) + int(hidden[0]) + int(hidden[-1]) in (0, 2)
        widths.add(int(whole_M.sum()))
        steps.add(int(whole_T.sum()))
    assert widths == set(range(5))
    assert steps == set(range(7))


def test_short_sequences_lose_a_share_only() -> None:
    hidden = ~kept(examples=list(range(100)), steps=5).any(2)
    assert int(hidden.sum(0).max()) == 2


def test_no_masks_hide_nothing() -> None:
    none = dataclasses.replace(AUGMENT, time_masks=0, band_masks=0)
    assert kept(none, examples=[1, 2]).all()


def bent(place: float, last: int, amount: float) -> float:
    return place + amount * last / math.pi * math.sin(math.pi * place / last)


def test_warps_keep_the_ends_and_bend_a_slope_as_the_formula_says() -> None:
    """A slope along time or along pitch shows from where each value was read."""
    one, draws = window(examples=[3, 8, 5]), Draws(seed=1, update=0, lanes_B=torch.tensor([3, 8, 5]))
    amounts = (2 * draws.uniform(augmentation.WARPS, 2) - 1) * torch.tensor([0.4, 0.3])
    time_TBD = torch.arange(20.0)[:, None, None].expand(-1, 3, 2 * M)
    band_TBD = torch.arange(float(M)).repeat(2).expand(20, 3, -1)
    for b, (time, pitch) in enumerate(amounts.tolist()):
        expected = torch.tensor([bent(t, 19, time) for t in range(20)])
        torch.testing.assert_close(WARPED(time_TBD, one, M)[:, b, 0], expected)
        expected = torch.tensor([bent(m, M - 1, pitch) for m in range(M)])
        torch.testing.assert_close(WARPED(band_TBD, one, M)[7, b, :M], expected)
        assert torch.equal(WARPED(band_TBD, one, M)[7, b, :M], WARPED(band_TBD, one, M)[7, b, M:])


def test_a_warp_reads_inside_its_example_only() -> None:
    """Two examples and padding in one lane."""
    one = window(examples=[4, 6])
    row_TB = torch.tensor([[0]] * 8 + [[1]] * 9 + [[0]] * 3)
    step_TB = torch.tensor([*range(8), *range(9), 500, 501, 502])[:, None]
    fields = {**one.fields, "row_TB": row_TB, "step_TB": step_TB, "lengths_N": torch.tensor([8, 9])}
    lane = dataclasses.replace(one, fields=fields)
    warped_T = WARPED(row_TB[:, :, None].float().expand(-1, -1, M), lane, M)[:17, 0, 0]
    torch.testing.assert_close(warped_T, row_TB[:17, 0].float())


def test_every_step_and_band_may_be_hidden() -> None:
    hidden_TBM = ~kept(examples=list(range(400)))
    assert hidden_TBM.any(1).all()


@pytest.mark.parametrize("change", [{"time_share": 1.0}, {"band_masks": -1}, {"band_warp": -0.1}])
def test_settings_that_cannot_be(change: dict) -> None:
    with pytest.raises(ConfigError, match=f"model.augment.{next(iter(change))}"):
        dataclasses.replace(AUGMENT, **change)
