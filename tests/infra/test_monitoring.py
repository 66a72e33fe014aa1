"""Scraping, alerts and dashboard: valid, and asking for metrics that are exported."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from pipelines.cluster import metrics
from tests.infra.manifests import INFRA, ROOT, parts

FOLDER = INFRA / "monitoring"
KNOWN = (*metrics.TRAIN.values(), metrics.VALIDATION, metrics.UPDATES, metrics.RESTARTS, metrics.LOST)
OWN = {f"ray_{name}" for name, _ in KNOWN}
ELSEWHERE = {
    "rnn_tick_success_seconds",  # infra/jobs/tick.sh
    "kube_cronjob_status_last_successful_time",  # kube-state-metrics
    "node_filesystem_avail_bytes",  # node_exporter
    "node_filesystem_size_bytes",
}
"""Metrics that no part of Ray exports."""
ON_GPUS = {"ray_node_gpus_utilization", "ray_node_gram_used"}


def promtool(*words: str) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool (Debian's prometheus) is not on this machine")
    done = subprocess.run(["promtool", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def queries() -> tuple[tuple[str, str], ...]:
    """Where each stands, and itself: of the dashboard, with its variables filled in, and of the alerts."""
    board = json.loads((FOLDER / "training.json").read_text())
    found = [(p["title"], t["expr"]) for p in board["panels"] for t in p["targets"]]
    texts = [v["query"]["query"] for v in board["templating"]["list"] if isinstance(v["query"], dict)]
    found += [("variable", text.removeprefix("label_values(").rpartition(",")[0]) for text in texts]
    for part in parts(yaml.safe_load((FOLDER / "alerts.yaml").read_text())):
        if isinstance(part, dict) and "alert" in part:
            found.append((part["alert"], part["expr"]))
    return tuple((place, query.replace("$suite", ".*").replace("$block", ".*")) for place, query in found)


def named(query: str) -> set[str]:
    """The metrics that a query reads, from its syntax tree."""
    import promql_parser

    left, found = [promql_parser.parse(query)], set()
    while left:
        node = left.pop()
        inner = [getattr(node, part, None) for part in ("expr", "lhs", "rhs", "vector_selector")]
        left += [part for part in (*inner, *getattr(node, "args", ())) if part is not None]
        if isinstance(node, promql_parser.VectorSelector):
            found.add(node.name)
    return found


@pytest.mark.manifests
def test_rules_by_promtool() -> None:
    promtool("check", "rules", str(FOLDER / "alerts.yaml"))


@pytest.mark.manifests
def test_alerts_come_when_they_should_and_only_then() -> None:
    promtool("test", "rules", str(ROOT / "tests/infra/alerts_test.yaml"))


@pytest.mark.manifests
@pytest.mark.parametrize("name", ["prometheus.yaml", "prometheus-kubernetes.yaml"])
def test_configuration_by_promtool(name: str, tmp_path: Path) -> None:
    """Debian's Prometheus is built without Kubernetes: there the pods are found by nobody, all else is checked."""
    configuration = yaml.safe_load((FOLDER / name).read_text())
    for job in configuration["scrape_configs"]:
        if job.pop("kubernetes_sd_configs", None):
            job["static_configs"] = [{"targets": ["127.0.0.1:8080"]}]
    shutil.copy(FOLDER / "alerts.yaml", tmp_path)
    (tmp_path / name).write_text(yaml.safe_dump(configuration))
    promtool("check", "config", str(tmp_path / name))


@pytest.mark.manifests
def test_every_query_parses_and_names_a_metric() -> None:
    assert len(queries()) > 20
    for place, query in queries():
        assert named(query), f"{place}: {query}"


@pytest.mark.manifests
def test_metrics_are_known_to_whoever_exports_them() -> None:
    """Ray's by the text of what exports and shows them; a long test reads all of them from a real node."""
    ray = Path(str(importlib.util.find_spec("ray").origin)).parent  # type: ignore[union-attr]
    sources = ["dashboard/modules/reporter/reporter_agent.py", "dashboard/modules/metrics/dashboards/*.py"]
    text = "".join(path.read_text() for source in sources for path in ray.glob(source))
    for place, query in queries():
        for metric in named(query) - OWN - ELSEWHERE:
            assert re.search(rf'"{metric.removeprefix("ray_")}"|\b{metric}\b', text), f"{place}: {metric}"


@pytest.mark.manifests
def test_every_metric_of_a_training_is_shown() -> None:
    assert set().union(*(named(query) for _, query in queries())) >= OWN
    script = (INFRA / "jobs/tick.sh").read_text()
    assert "rnn_tick_success_seconds{suite=" in script


@pytest.mark.manifests
def test_panels_do_not_overlap() -> None:
    board = json.loads((FOLDER / "training.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@pytest.mark.long
@pytest.mark.cluster
def test_a_real_node_exports_all_of_them(tmp_path: Path) -> None:
    """Of a cluster without GPUs."""
    done = subprocess.run(
        [sys.executable, "-c", NODE, str(tmp_path / "exported")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    exported = set(re.findall(r"^([a-z_]+)\{", (tmp_path / "exported").read_text(), re.MULTILINE))
    wanted = set().union(*(named(query) for _, query in queries()))
    assert wanted - ELSEWHERE - ON_GPUS <= exported, "the extra `cluster` of pyproject.toml is installed?"


NODE = """
import socket, sys, time, urllib.request
from pathlib import Path
import ray
from pipelines.cluster import metrics
with socket.socket() as one:
    one.bind(("127.0.0.1", 0))
    port = one.getsockname()[1]
ray.init(address="local", num_cpus=1, include_dashboard=False, _metrics_export_port=port, log_to_driver=False)
names = (*metrics.TRAIN, "validation/accuracy")
metrics.export("sample/block", "recurrent", {"step": 1, "time": 0, "seconds": 0.0, "values": dict.fromkeys(names, 1.0)})
wait = ray.remote(lambda: time.sleep(2))
ray.get(wait.remote())
until = time.monotonic() + 120
text = ""
while "ray_rnn_validation" not in text or "ray_node_cpu_utilization" not in text:
    assert time.monotonic() < until, text
    time.sleep(2)
    try:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    except OSError:
        pass
Path(sys.argv[1]).write_text(text)
ray.shutdown()
"""
