"""A training on GPUs, one a worker, is near the one on as many processors. Skipped, by name, where none is."""

import numpy as np
import pytest
import torch

from pipelines import files
from tests.pipelines import small_training as small

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    "workers",
    [
        pytest.param(count, marks=pytest.mark.skipif(torch.cuda.device_count() < count, reason=f"{count} GPUs wanted"))
        for count in (1, 2)
    ],
)
def test_a_training_on_gpus_is_near_the_one_on_processors(tmp_path, monkeypatch, workers):
    data = small.write_data(tmp_path / "arrow")
    path, other = (small.write_job(tmp_path / name, data, epochs=1) for name in ("gpu", "processor"))
    monkeypatch.setenv("RNN_GPUS", "1")
    with small.Running(path, workers, ray=True) as running:
        running.finish()
    assert files.read_json(path / "training/finished.json")["device"].startswith("cuda")
    ours, theirs = small.losses(small.read(path / "training")), small.losses(small.train(other, workers))
    np.testing.assert_allclose(ours[:50], theirs[:50], rtol=1e-3)
