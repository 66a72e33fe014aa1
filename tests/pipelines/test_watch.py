"""The line that says how far a training is."""

from types import SimpleNamespace

from pipelines import watch

TRAINED = {"train/epoch": 1.0, "train/loss": 0.5, "train/tokens_per_second": 12345.6}


def line():
    return watch._Line("sample/b/recurrent", SimpleNamespace(train=SimpleNamespace(epochs=4)))


def shown(*points):
    one = line()
    for seconds, values in points:
        one.take({"seconds": seconds, "values": values})
    return one._text()


def test_a_validation_before_the_first_point_shows_no_numbers_that_nobody_measured():
    assert shown((3.0, {"validation/accuracy": 50.0})) == (
        "sample/b/recurrent: validation/accuracy 50, 0:03 done, ? left"
    )


def test_how_far_how_fast_and_how_long_still():
    text = shown((10.0, TRAINED), (20.0, TRAINED | {"train/epoch": 2.0}), (20.5, {"validation/accuracy": 75.0}))
    expected = "epoch 2.0 of 4, loss 0.500 nats, validation/accuracy 75, 12,346 tokens/s, 0:20 done, 0:21 left"
    assert text == f"sample/b/recurrent: {expected}"


def test_a_worker_that_the_others_wait_for_is_named_as_long_as_they_do():
    lagging = TRAINED | {"train/slowest_worker": 2.0, "train/slowest_lag": 0.5}
    assert ", worker 2 lags by 50 %, 0:10 done" in shown((10.0, lagging))
    assert "lags" not in shown((10.0, lagging | {"train/slowest_lag": 0.2}))
    assert "lags" not in shown((10.0, lagging), (12.0, {"validation/loss": 1.0}), (20.0, TRAINED))
