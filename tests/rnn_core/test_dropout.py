"""Random draws: uniform, the same for every division of the lanes and in every precision, others everywhere else."""

import math

import pytest
import torch
from torch import Tensor

from rnn_core.dropout import Draws

WORD = 2**64 - 1
FLOAT = torch.zeros(())


def draws(seed: int = 1, update: int = 0, lanes: int = 20) -> Draws:
    return Draws(seed=seed, update=update, lanes_B=torch.arange(lanes))


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1])


def splitmix64(word: int) -> int:
    """The published algorithm, in whole numbers of any length."""
    word = (word + 0x9E3779B97F4A7C15) & WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & WORD
    return word ^ (word >> 31)


def test_the_hash_is_splitmix64() -> None:
    assert splitmix64(0) == 0xE220A8397B1DCDAF  # the first output of the published generator for seed 0
    seed, update, layer = 2**62 + 5, 123_456, 3
    found_BD = Draws(seed=seed, update=update, lanes_B=torch.tensor([0, 63])).uniform(layer, 5)
    for lane, found_D in zip((0, 63), found_BD.tolist(), strict=True):
        lane_hash = splitmix64(lane)
        for number in (layer, update, seed):
            lane_hash = splitmix64(lane_hash ^ number)
        assert found_D == [(splitmix64(lane_hash ^ feature) >> 11) / 2**53 for feature in range(5)]


def test_draws_are_uniform() -> None:
    u_BD = draws(lanes=300).uniform(0, 1000)
    assert u_BD.dtype == torch.float64
    assert 0 <= u_BD.min() < 1e-4
    assert 1 - 1e-4 < u_BD.max() < 1
    count = u_BD.numel()
    counts = torch.histc(u_BD, bins=100, min=0, max=1)
    chi_squared = float((counts - count / 100).square().sum() / (count / 100))
    assert abs(chi_squared - 99) < 5 * math.sqrt(2 * 99)
    assert len(u_BD.unique()) == count
    # Each lane and each feature for itself: means of 1000 and of 300 draws.
    assert (u_BD.mean(1) - 0.5).abs().max() < 5 * math.sqrt(1 / 12 / 1000)
    assert (u_BD.mean(0) - 0.5).abs().max() < 5 * math.sqrt(1 / 12 / 300)


def test_neighbours_are_independent() -> None:
    u_BD = draws(lanes=300).uniform(0, 1000)
    bound = 5 / math.sqrt(u_BD.numel())
    others = {
        "lane": draws(lanes=301).uniform(0, 1000)[1:],
        "feature": draws(lanes=300).uniform(0, 1001)[:, 1:],
        "layer": draws(lanes=300).uniform(1, 1000),
        "update": draws(update=1, lanes=300).uniform(0, 1000),
        "seed": draws(seed=2, lanes=300).uniform(0, 1000),
    }
    for name, other_BD in others.items():
        assert abs(correlation(u_BD, other_BD)) < bound, name


def test_layer_update_and_seed_do_not_stand_for_each_other() -> None:
    drawn = {
        (seed, update, layer): tuple(draws(seed, update, 2).uniform(layer, 2).flatten().tolist())
        for seed in range(4)
        for update in range(4)
        for layer in range(4)
    }
    assert len(set(drawn.values())) == len(drawn)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_a_mask_drops_at_its_rate_and_keeps_the_mean(rate: float) -> None:
    mask_BD = draws(lanes=200).mask(0, 500, rate, FLOAT.double())
    kept = mask_BD[mask_BD != 0]
    assert torch.equal(kept, torch.full_like(kept, 1 / (1 - rate)))
    deviation = math.sqrt(rate * (1 - rate) / mask_BD.numel())
    assert abs(float((mask_BD == 0).double().mean()) - rate) <= 5 * deviation


def test_a_division_of_the_lanes_changes_no_bit() -> None:
    whole_BD = draws(lanes=8).mask(2, 33, 0.4, FLOAT)
    part_BD = Draws(seed=1, update=0, lanes_B=torch.arange(8)[2:5]).mask(2, 33, 0.4, FLOAT)
    assert torch.equal(part_BD, whole_BD[2:5])


def test_precision_changes_no_choice() -> None:
    single_BD = draws().mask(0, 300, 0.3, FLOAT)
    double_BD = draws().mask(0, 300, 0.3, FLOAT.double())
    assert (single_BD.dtype, double_BD.dtype) == (torch.float32, torch.float64)
    assert torch.equal(single_BD != 0, double_BD != 0)
    torch.testing.assert_close(single_BD.double(), double_BD, atol=0, rtol=1e-7)


def test_a_wider_mask_begins_with_the_narrower_one() -> None:
    assert torch.equal(draws().mask(0, 300, 0.3, FLOAT)[:, :100], draws().mask(0, 100, 0.3, FLOAT))


def test_large_numbers_are_taken() -> None:
    large = Draws(seed=2**63 - 1, update=2**40, lanes_B=torch.tensor([2**40, 2**40 + 1]))
    u_BD = large.uniform(10**6, 50)
    assert ((u_BD >= 0) & (u_BD < 1)).all()
    assert len(u_BD.unique()) == 100


def lowbias32(word: int) -> int:
    """The published mixer, in whole numbers of any length."""
    word = ((word ^ (word >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    word = ((word ^ (word >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return word ^ (word >> 16)


def test_a_weights_draws_are_hashes_of_row_and_column() -> None:
    seed, update, layer = 2**62 + 5, 123_456, 3
    mask_GH = Draws(seed=seed, update=update, lanes_B=torch.tensor([4])).weight_mask(layer, (3, 5), 0.3, FLOAT)
    base = splitmix64(WORD)
    for number in (layer, update, seed):
        base = splitmix64(base ^ number)
    for row in range(3):
        for column in range(5):
            word = splitmix64(base ^ row) >> 32 ^ splitmix64(splitmix64(base) ^ (column // 2)) >> 32
            half = (lowbias32(word) >> 16 * (column % 2)) & 0xFFFF
            signed = half - 2**16 if half >> 15 else half
            assert (mask_GH[row, column] != 0) == (signed + 2**15 >= round(0.3 * 2**16))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_weights_are_dropped_at_the_rate_and_keep_their_mean(rate: float) -> None:
    mask_GH = draws().weight_mask(0, (400, 301), rate, FLOAT.double())
    share = round(rate * 2**16) / 2**16
    kept = mask_GH[mask_GH != 0]
    assert torch.equal(kept, torch.full_like(kept, 1 / (1 - share)))
    deviation = math.sqrt(share * (1 - share))
    dropped_GH = (mask_GH == 0).double()
    assert abs(float(dropped_GH.mean()) - share) <= 5 * deviation / math.sqrt(mask_GH.numel())
    assert (dropped_GH.mean(0) - share).abs().max() <= 5 * deviation / math.sqrt(400)
    assert (dropped_GH.mean(1) - share).abs().max() <= 5 * deviation / math.sqrt(301)


def test_however_near_1_the_rate_is_some_weights_are_left() -> None:
    mask_GH = draws().weight_mask(0, (1000, 1000), 1 - 1e-9, FLOAT)
    assert 0 < (mask_GH != 0).sum() < 60
    assert mask_GH.max() == 2**16


def test_neighbouring_weights_and_steps_are_independent() -> None:
    def mask(number=0, shape=(400, 300), **changed):
        return draws(**changed).weight_mask(number, shape, 0.5, FLOAT)

    def steps(number=0, first=0, lanes=40, size=60, update=0):
        drawn = Draws(seed=1, update=update, lanes_B=torch.arange(lanes), first_step=first)
        return drawn.chosen(number, 50, size, 0.5, FLOAT)

    whole, chosen = mask(), steps()
    bound = 5 / math.sqrt(whole.numel())
    others = {
        "row": (whole, mask(shape=(401, 300))[1:]),
        "column": (whole, mask(shape=(400, 301))[:, 1:]),
        "second column": (whole, mask(shape=(400, 302))[:, 2:]),
        "layer": (whole, mask(1)),
        "update": (whole, mask(update=1)),
        "seed": (whole, mask(seed=2)),
        "four corners": (whole[1:, 2:] == whole[:-1, 2:], whole[1:, :-2] == whole[:-1, :-2]),
        "step": (chosen, steps(first=1)),
        "lane": (chosen, steps(lanes=41)[:, 1:]),
        "feature": (chosen, steps(size=61)[:, :, 1:]),
        "layer of steps": (chosen, steps(1)),
        "update of steps": (chosen, steps(update=1)),
        "weights and steps": (whole.flatten(), chosen.flatten()),
    }
    for name, (one, other) in others.items():
        assert abs(correlation(one.double(), other.double())) < bound, name


def test_a_weights_mask_knows_no_lane_and_no_precision() -> None:
    one = draws(lanes=3).weight_mask(2, (33, 17), 0.4, FLOAT)
    other = Draws(seed=1, update=0, lanes_B=torch.tensor([70]), first_step=5).weight_mask(2, (33, 17), 0.4, FLOAT)
    assert torch.equal(one, other)
    assert torch.equal(one != 0, draws().weight_mask(2, (33, 17), 0.4, FLOAT.double()) != 0)


def test_steps_are_drawn_alike_in_parts_of_window_and_lanes() -> None:
    whole_TBD = draws(lanes=6).chosen(2, 9, 13, 0.3, FLOAT)
    assert set(whole_TBD.unique().tolist()) == {0.0, 1.0}
    part = Draws(seed=1, update=0, lanes_B=torch.arange(6)[2:5], first_step=4)
    assert torch.equal(part.chosen(2, 3, 13, 0.3, FLOAT), whole_TBD[4:7, 2:5])
    many = draws(lanes=50).chosen(0, 40, 61, 0.3, FLOAT)
    assert abs(float(many.mean()) - 0.3) < 5 * math.sqrt(0.21 / many.numel())
