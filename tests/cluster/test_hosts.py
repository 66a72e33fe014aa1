"""Trainings on hosts of their own: the same numbers as on one, whatever host comes, goes, or cannot be reached."""

import random
import time

import numpy as np
import pytest

from pipelines.points import read
from tests import object_store
from tests.cluster import hosts as machines
from tests.pipelines import small_training as small

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not machines.possible(), reason="hosts of their own need root and iproute2"),
]
LONG_ENOUGH = {"epochs": 2000, "validations_per_epoch": 1}
"""Of updates for whatever happens meanwhile; a test ends it."""
SOON = {"RNN_RESIZE_SECONDS": "2", "RNN_CHECKPOINT_SECONDS": "1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small.write_data(tmp_path_factory.mktemp("data") / "arrow")


@pytest.fixture
def hosts():
    """A head and two hosts with a core each."""
    with machines.made() as made:
        made.add(cores=0)
        yield made, made.add(), made.add()


def running(made, path, workers, **variables):
    """A driver on the head."""
    head = made._hosts[0]
    return small.Running(path, workers, ray=True, within=head.within(), variables=head.environment(**variables))


def workers_of(running) -> int:
    newest = next(p["values"] for p in reversed(running.points()) if "train/loss" in p["values"])
    return 2 if "train/slowest_worker" in newest else 1


def check_undisturbed(path, whole) -> None:
    """The job's training is, number for number, that of two workers on one host."""
    points = read(path / "training")
    small.check_each_step_once(points)
    assert small.numbers(points) == small.numbers(small.train(whole, 2))


@pytest.mark.parametrize("workers", [2, pytest.param(3, marks=pytest.mark.long)])
def test_hosts_compute_what_as_many_workers_on_one_host_compute(data, hosts, tmp_path, workers):
    made, *_ = hosts
    if workers == 3:
        made.add()
    path, alone = (small.write_job(tmp_path / name, data, epochs=workers - 1) for name in ("hosts", "one"))
    with running(made, path, workers) as driver:
        driver.finish()
    assert small.numbers(read(path / "training")) == small.numbers(small.train(alone, workers))


@pytest.mark.long
def test_a_host_that_dies_and_comes_back_is_waited_for(data, hosts, tmp_path):
    made, _, second = hosts
    path, whole = (small.write_job(tmp_path / name, data, epochs=8) for name in ("hosts", "one"))
    with running(made, path, 2, **SOON) as driver:
        driver.wait_for(150)
        second.kill()
        step = driver.points()[-1]["step"]
        second.start_ray(cores=1)
        back = time.monotonic()
        driver.wait_for(step + 20)
        print(f"next step {time.monotonic() - back:.0f} s after the host's return")
        driver.finish()
    check_undisturbed(path, whole)


@pytest.mark.long
def test_ten_kills_at_random_moments_lose_nothing(data, hosts, tmp_path):
    """Every other one while a training state is being written."""
    made, *two = hosts
    path, whole = (small.write_job(tmp_path / name, data, epochs=12) for name in ("hosts", "one"))
    with running(made, path, 2, RNN_RETRIES="20", **SOON) as driver:
        for kill in range(10):
            step = driver.points()[-1]["step"] if kill else 0
            driver.wait_for(step + small.random_step(60))
            if kill % 2:
                driver.wait_until(lambda: list((path / "training/state").glob(".writing-*")))
            host = random.SystemRandom().choice(two)
            host.kill()
            host.start_ray(cores=1)
        driver.finish()
    check_undisturbed(path, whole)


@pytest.mark.long
def test_a_range_of_workers_goes_on_without_a_dead_host_and_uses_one_that_joins(data, hosts, tmp_path):
    made, _, second = hosts
    path, whole = (small.write_job(tmp_path / name, data, **LONG_ENOUGH, dtype="float64") for name in ("hosts", "one"))
    with running(made, path, "1:2", **SOON) as driver:
        driver.wait_for(50)
        driver.wait_until(lambda: workers_of(driver) == 2)
        second.kill()
        died = time.monotonic()
        driver.wait_until(lambda: workers_of(driver) == 1)
        print(f"next step {time.monotonic() - died:.0f} s after the host's death")
        made.add()
        joined = time.monotonic()
        driver.wait_until(lambda: workers_of(driver) == 2)
        print(f"used {time.monotonic() - joined:.0f} s after it joined")
        driver.kill()
    points = read(path / "training")
    small.check_each_step_once(points)
    ours = small.losses(points)
    small.train_until(whole, 1, len(ours))
    alone = small.losses(read(whole / "training"))
    np.testing.assert_allclose(ours[:300], alone[:300], rtol=1e-9)
    np.testing.assert_allclose(ours, alone[: len(ours)], rtol=1e-4)


@pytest.mark.long
def test_another_number_of_workers_changes_float32_by_its_rounding(data, hosts, tmp_path):
    """Just after the change by little; at the end by no more than another seed does."""
    made, _, second = hosts
    path = small.write_job(tmp_path / "hosts", data, epochs=8)
    whole = [small.write_job(tmp_path / f"one{seed}", data, epochs=8, seed=seed) for seed in (3, 4, 5)]
    with running(made, path, "1:2", **SOON) as driver:
        driver.wait_for(50)
        driver.wait_until(lambda: workers_of(driver) == 2)
        second.kill()
        driver.finish(600)
    points = read(path / "training")
    small.check_each_step_once(points)
    seeds = [small.train(one, 2) for one in whole]
    ours, undisturbed = small.losses(points), small.losses(seeds[0])
    together = ["train/slowest_worker" in p["values"] for p in points if "train/loss" in p["values"]]
    change = max(step for step, two in enumerate(together) if two) + 1
    assert change < len(ours)
    np.testing.assert_array_equal(ours[:change], undisturbed[:change])
    np.testing.assert_allclose(ours[change : change + 50], undisturbed[change : change + 50], rtol=1e-4)
    (end, *ends) = (validation(points) for points in (points, *seeds))
    print(f"validation {end:.5f}, seeds {ends}")
    assert abs(end - ends[0]) <= max(ends) - min(ends)


def validation(points) -> float:
    """The last score."""
    return [p["values"]["validation/loss"] for p in points if "validation/loss" in p["values"]][-1]


@pytest.mark.long
def test_a_network_that_is_cut_for_20_seconds_loses_nothing(data, hosts, tmp_path):
    made, _, second = hosts
    path, whole = (small.write_job(tmp_path / name, data, epochs=8) for name in ("hosts", "one"))
    with running(made, path, 2, **SOON) as driver:
        driver.wait_for(150)
        second.cut()
        time.sleep(20)
        second.mend()
        second.kill()  # the cluster has given it up, and it the cluster: whoever runs the host starts its node again
        second.start_ray(cores=1)
        driver.finish()
    check_undisturbed(path, whole)


@pytest.mark.long
def test_a_driver_that_was_killed_goes_on(data, hosts, tmp_path):
    made, *_ = hosts
    path, whole = (small.write_job(tmp_path / name, data, epochs=8) for name in ("hosts", "one"))
    with running(made, path, 2, **SOON) as driver:
        driver.wait_for(small.random_step(300))
        driver.kill()
    with running(made, path, 2, **SOON) as driver:
        driver.finish()
    check_undisturbed(path, whole)


@pytest.mark.long
def test_hosts_that_share_no_folder_train_through_an_object_store(data, tmp_path):
    """The data come from the DVC remote, the training is kept in a storage: both in a store that speaks S3."""
    with machines.made(**object_store.ACCESS) as made, object_store.served(made.outside) as store:
        made.add(cores=0)
        made.add(hides=tmp_path)
        second = made.add(hides=tmp_path)
        path = small.write_job(tmp_path / "hosts", data, shards=store.push(data, "remote"), epochs=8)
        whole = small.write_job(tmp_path / "one", data, epochs=8)
        with running(made, path, 2, RNN_STORAGE=store.address("trainings"), **SOON) as driver:
            driver.wait_for(150)
            second.kill()
            second.start_ray(cores=1)
            driver.finish()
    check_undisturbed(path, whole)


@pytest.mark.long
def test_a_wrong_token_is_told(data, hosts, tmp_path):
    made, *_ = hosts
    path = small.write_job(tmp_path / "job", data)
    with running(made, path, 1, RAY_AUTH_TOKEN="0" * 32) as driver:
        (process,) = driver.processes
        _, told = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "RAY_ADDRESS" in told
    assert "token" in told.lower()
