"""How good the answers of a classifier are, from sums that add up over parts of the data."""

from typing import Any

import torch
from torch import Tensor

BINS = 15
"""Of confidence, equally wide, for the calibration error (Guo et al. 2017: On calibration of modern networks)."""


class Classified:
    """Sums over classified examples: `confusion` (right, answered), `loss`, and by bin of confidence `count`,
    `confidence` and `right`. Float64."""

    def __init__(self, classes: int, sums: dict[str, Tensor] | None = None):
        """
        Args:
            classes: V.
            sums: of a former one, perhaps of several added.
        """
        self._classes = classes
        self.sums = sums or {
            "confusion": torch.zeros(classes, classes, dtype=torch.float64),
            "loss": torch.zeros((), dtype=torch.float64),
            **{name: torch.zeros(BINS, dtype=torch.float64) for name in ("count", "confidence", "right")},
        }

    def add(self, logits_NV: Tensor, labels_N: Tensor) -> None:
        """
        Args:
            logits_NV: or log-probabilities.
            labels_N: int64, the right classes.
        """
        logp_NV = logits_NV.double().log_softmax(1)
        confidence_N, answered_N = logp_NV.exp().max(1)
        bins_N = (confidence_N * BINS).ceil().long().clamp(1, BINS) - 1
        cells_N = labels_N * self._classes + answered_N
        self.sums["confusion"] += torch.bincount(cells_N, minlength=self._classes**2).view_as(self.sums["confusion"])
        self.sums["loss"] -= logp_NV.gather(1, labels_N[:, None]).sum()
        self.sums["count"] += torch.bincount(bins_N, minlength=BINS)
        self.sums["confidence"] += torch.bincount(bins_N, confidence_N, minlength=BINS)
        self.sums["right"] += torch.bincount(bins_N, (answered_N == labels_N).double(), minlength=BINS)

    def metrics(self) -> dict[str, float]:
        """loss (nats); accuracy, f1 (of each class, their mean) and calibration_error in percent."""
        confusion_VV, total = self.sums["confusion"], self.sums["confusion"].sum()
        both_V = confusion_VV.sum(0) + confusion_VV.sum(1)
        occurs_V = both_V > 0
        f1_V = 2 * confusion_VV.diagonal()[occurs_V] / both_V[occurs_V]
        gaps = (self.sums["confidence"] - self.sums["right"]).abs().sum()
        return {
            "loss": float(self.sums["loss"] / total),
            "accuracy": 100 * float(confusion_VV.trace() / total),
            "f1": 100 * float(f1_V.mean()),
            "calibration_error": 100 * float(gaps / total),
        }

    def reliability(self) -> list[dict[str, Any]]:
        """Of each bin that has examples: how confident they were and how often right, in percent."""
        rows = zip(*(self.sums[name].tolist() for name in ("count", "confidence", "right")), strict=True)
        return [
            {"examples": int(count), "confidence": 100 * confidence / count, "accuracy": 100 * right / count}
            for count, confidence, right in rows
            if count
        ]
