"""Scores of a classifier against plain loops, and sums of parts that are those of the whole."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnn_core.metrics.classified import BINS, Classified


def drawn(count, classes, seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, classes, generator=random) * 3, torch.randint(classes, (count,), generator=random)


def by_hand(logits_NV, labels_N):
    """loss, accuracy, f1 and calibration error, example by example."""
    p_NV = logits_NV.double().softmax(1).tolist()
    labels, answers = labels_N.tolist(), [max(range(len(p)), key=p.__getitem__) for p in p_NV]
    f1 = []
    for one in set(labels) | set(answers):
        hits = sum(a == b == one for a, b in zip(answers, labels, strict=True))
        f1.append(2 * hits / (answers.count(one) + labels.count(one)))
    gap = 0.0
    for low in range(BINS):
        inside = [i for i, p in enumerate(p_NV) if low / BINS < max(p) <= (low + 1) / BINS]
        gap += abs(sum(max(p_NV[i]) - (answers[i] == labels[i]) for i in inside))
    right = sum(a == b for a, b in zip(answers, labels, strict=True))
    loss = -sum(math.log(p[label]) for p, label in zip(p_NV, labels, strict=True))
    scale = 100 / len(labels)
    return {
        "loss": loss / len(labels),
        "accuracy": scale * right,
        "f1": 100 * sum(f1) / len(f1),
        "calibration_error": scale * gap,
    }


@given(st.integers(1, 40), st.integers(2, 5), st.integers(0, 99), st.integers(0, 40))
def test_scores_equal_those_by_hand_whole_and_in_parts(count, classes, seed, cut):
    logits_NV, labels_N = drawn(count, classes, seed)
    whole, parts = Classified(classes), [Classified(classes), Classified(classes)]
    whole.add(logits_NV, labels_N)
    for part, rows in zip(parts, (slice(0, cut), slice(cut, None)), strict=True):
        part.add(logits_NV[rows], labels_N[rows])
    summed = Classified(classes, {name: parts[0].sums[name] + parts[1].sums[name] for name in whole.sums})
    wanted = by_hand(logits_NV, labels_N)
    assert whole.metrics() == pytest.approx(wanted)
    assert summed.metrics() == pytest.approx(wanted)
    assert sum(row["examples"] for row in whole.reliability()) == count


def test_a_certain_classifier_is_calibrated_when_right():
    classified = Classified(2)
    classified.add(torch.tensor([[50.0, 0.0], [0.0, 50.0]]), torch.tensor([0, 1]))
    assert classified.metrics() == pytest.approx({"loss": 0, "accuracy": 100, "f1": 100, "calibration_error": 0})
    assert classified.reliability() == [{"examples": 2, "confidence": pytest.approx(100), "accuracy": 100.0}]
