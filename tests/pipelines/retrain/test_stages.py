"""What a log of `dvc repro` says of each stage."""

from pipelines.retrain.stages import read

FIRST = """
Stage 'pipelines/suites/public/dvc.yaml:fetch@a' didn't change, skipping
Stage 'pipelines/suites/public/dvc.yaml:preprocess@a' is cached - skipping run, checking out outputs
Running stage 'pipelines/suites/public/dvc.yaml:train@a':
> python -m pipelines.train a
Running stage 'pipelines/suites/public/dvc.yaml:train@b':
error: no cluster at 127.0.0.1:9
Traceback
WARNING: failed to run: python -m pipelines.train b, exited with 1
WARNING: Stages 'evaluate@b', 'report' will be skipped due to this failure
ERROR: failed to reproduce stages: 'train@b', 'train@c'
"""
SECOND = """
Stage 'train@a' didn't change, skipping
Running stage 'train@b':
Running stage 'evaluate@b':
Running stage 'report':
Pulling data for stage: 'train@c'
"""


def test_each_stage_has_its_place() -> None:
    found = read(FIRST)
    assert (found.unchanged, found.restored, found.ran) == (("fetch@a",), ("preprocess@a",), ("train@a",))
    assert dict(found.failed)["train@b"] == "error: no cluster at 127.0.0.1:9"
    assert found.not_reached == ("evaluate@b", "report")


def test_a_later_attempt_has_the_last_word() -> None:
    found = read(FIRST + SECOND)
    assert found.ran == ("train@a", "train@b", "evaluate@b", "report")
    assert (found.failed, found.not_reached) == ((), ())
    assert set(found.unchanged) == {"fetch@a", "train@c"}
