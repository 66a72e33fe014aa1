"""The manifests of infra/: valid as rendered, locked down, and naming nothing that is not there."""

import copy
import re
from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml

from tests.infra.manifests import INFRA, OVERLAYS, ROOT, of_kind, parts, pods, ray_job, rendered, variables_of

pytestmark = pytest.mark.manifests

SCHEMAS = ROOT.parent / "shared/schemas/kuberay-1.7.0"
VERSION = "1.34"
JOBS = ("cpu-small", "gpu")
OF_RAY = {"RayCluster": "ray.io_rayclusters.yaml", "RayJob": "ray.io_rayjobs.yaml"}
RAY_PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "metrics": 8080}


def check_core(item: dict[str, Any]) -> None:
    import kubernetes_validate

    try:
        kubernetes_validate.validate(item, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise jsonschema.ValidationError(str(error)) from error


def check_ray(item: dict[str, Any]) -> None:
    if not SCHEMAS.is_dir():
        pytest.skip(f"no schemas of KubeRay in {SCHEMAS}")
    of_schema(item["kind"], item["apiVersion"].rpartition("/")[2]).validate(item)


@cache
def of_schema(kind: str, version: str) -> jsonschema.Draft202012Validator:
    definition = yaml.load((SCHEMAS / OF_RAY[kind]).read_text(), Loader=yaml.CSafeLoader)
    (schema,) = [v["schema"]["openAPIV3Schema"] for v in definition["spec"]["versions"] if v["name"] == version]
    return jsonschema.Draft202012Validator(strict(schema))


def strict(schema: Any) -> Any:
    """The same, with every field that it does not name refused."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(part) for name, part in schema.items()}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and "type" in schema and not open_ended:
        closed["additionalProperties"] = False
    return closed


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_core_kinds_are_valid(overlay: str) -> None:
    items = [item for item in rendered(overlay) if not item["apiVersion"].startswith("ray.io/")]
    assert items
    for item in items:
        check_core(item)


@pytest.mark.parametrize("overlay", JOBS)
def test_kinds_of_ray_are_valid(overlay: str) -> None:
    (cluster,) = of_kind(overlay, "RayCluster")
    check_ray(cluster)
    check_ray(ray_job(overlay))


@pytest.mark.parametrize("kind", ["CronJob", "NetworkPolicy", "RayCluster", "RayJob"])
def test_an_unknown_field_is_refused(kind: str) -> None:
    item = ray_job("gpu") if kind == "RayJob" else of_kind("gpu", kind)[0]
    check = check_ray if kind in OF_RAY else check_core
    check(item)
    for path in ([], ["template", "spec"], ["template", "spec", "containers", 0], ["securityContext"], ["ports", 0]):
        for place in range(2):
            wrong = copy.deepcopy(item)
            inner = reached(wrong["spec"], path, place)
            if inner is None:
                continue
            inner["unknownField"] = 1
            with pytest.raises(jsonschema.ValidationError, match="unknownField"):
                check(wrong)


def reached(spec: Any, path: list[Any], place: int) -> dict[str, Any] | None:
    """What lies at `path` in the part number `place` of a spec that has such a path."""
    found = []
    for part in parts(spec):
        inner = part
        for step in path:
            try:
                inner = inner[step]
            except (KeyError, IndexError, TypeError):
                break
        else:
            if isinstance(inner, dict):
                found.append(inner)
    return found[place] if place < len(found) and (path or place == 0) else None


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_locked_down(overlay: str) -> None:
    for name, _, spec in pods(overlay):
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume], name
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name
            assert re.search(r":[\w.-]+$", container["image"]), name
            assert not container["image"].endswith(":latest"), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_who_asks_kubernetes_holds_a_token_of_it(overlay: str) -> None:
    """The tick makes RayJobs; the head's autoscaler gets an account from the operator."""
    allowed = {"CronJob/retrain", "RayCluster/head"}
    holders = {name for name, _, spec in pods(overlay) if spec.get("automountServiceAccountToken") is not False}
    assert holders <= allowed


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_named_and_never_written(overlay: str) -> None:
    assert not of_kind(overlay, "Secret")
    readme = (INFRA / ("mlflow" if overlay == "mlflow" else "jobs/kubernetes") / "README.md").read_text()
    named = set()
    for part in parts(list(rendered(overlay))):
        for variable, value in variables_of(part).items():
            if re.search(r"PASSWORD|TOKEN$|_KEY$|KEY_ID$|WEBHOOK|SECRET", variable):
                assert "secretKeyRef" in value, variable
                named |= {(value["secretKeyRef"]["name"], value["secretKeyRef"]["key"])}
        if isinstance(part, dict) and "secretName" in part:
            named |= {(part["secretName"], item["key"]) for item in part.get("items", [])}
    assert named
    for name, key in sorted(named):
        assert f"secret generic {name} " in readme, name
        assert key in readme, f"{key} of the secret {name}: infra's README does not say what it is"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_pods_refer_to_is_there(overlay: str) -> None:
    there = {(item["kind"], item["metadata"]["name"]) for item in rendered(overlay)}
    claims = {
        c["metadata"]["name"] for item in of_kind(overlay, "StatefulSet") for c in item["spec"]["volumeClaimTemplates"]
    }
    for name, _, spec in pods(overlay):
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for volume in volumes.values():
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in there, name
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in there, name
        if "serviceAccountName" in spec:
            assert ("ServiceAccount", spec["serviceAccountName"]) in there
        for container in spec["containers"]:
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= set(volumes) | claims, name
            for source in container.get("envFrom", []):
                assert ("ConfigMap", source["configMapRef"]["name"]) in there, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ports_and_policies_meet_the_pods(overlay: str) -> None:
    """A policy selects pods that are there, by ports that they have; a service too."""
    for item in of_kind(overlay, "NetworkPolicy"):
        wanted = item["spec"]["podSelector"]["matchLabels"]
        selected = [spec for _, labels, spec in pods(overlay) if wanted.items() <= labels.items()]
        assert selected, item["metadata"]["name"]
        ports = {port["containerPort"] for spec in selected for c in spec["containers"] for port in c.get("ports", [])}
        for rule in item["spec"]["ingress"]:
            assert {port["port"] for port in rule.get("ports", [])} <= ports, item["metadata"]["name"]
            assert rule["from"], "open to everybody"
    for item in of_kind(overlay, "Service"):
        wanted = item["spec"]["selector"]
        (spec,) = [spec for _, labels, spec in pods(overlay) if wanted.items() <= labels.items()]
        names = {port["name"]: port["containerPort"] for c in spec["containers"] for port in c["ports"]}
        for port in item["spec"]["ports"]:
            assert names[port["targetPort"]] == port["port"]


@pytest.mark.parametrize("overlay", JOBS)
def test_policies_cover_all_pods(overlay: str) -> None:
    selectors = [item["spec"]["podSelector"]["matchLabels"] for item in of_kind(overlay, "NetworkPolicy")]
    for name, labels, _ in pods(overlay):
        assert [s for s in selectors if s.items() <= labels.items()], f"{name}: no NetworkPolicy"


@pytest.mark.parametrize("overlay", JOBS)
def test_the_cluster_is_what_its_settings_say(overlay: str) -> None:
    (cluster,) = of_kind(overlay, "RayCluster")
    spec = cluster["spec"]
    lock = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line)
    assert spec["rayVersion"] == lock["ray"]
    assert spec["authOptions"] == {"mode": "token", "secretName": "ray-token"}
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    head = spec["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert {port["name"]: port["containerPort"] for port in head["ports"]} == RAY_PORTS
    groups = {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    settings = {item["metadata"]["name"]: item for item in of_kind(overlay, "ConfigMap")}["retrain"]["data"]
    limits = groups["train"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert settings["RNN_WORKERS"] == f"1:{groups['train']['maxReplicas']}"
    assert settings["RNN_THREADS"] == limits["cpu"]
    assert int(settings.get("RNN_GPUS", 0)) == int(limits.get("nvidia.com/gpu", 0))
    cache = {volume["name"]: volume for volume in groups["train"]["template"]["spec"]["volumes"]}["cache"]
    (size,) = [part for part in parts(cache) if isinstance(part, str) and re.fullmatch(r"\d+Gi", part)]
    assert float(settings["RNN_NODE_GIGABYTES"]) * 1e9 < int(size[:-2]) * 2**30
    assert settings["RNN_NODE_FOLDER"] == "/cache"


@pytest.mark.parametrize("overlay", JOBS)
def test_time_limits_come_one_after_another(overlay: str) -> None:
    """Retraining ends by itself first, then the RayJob, then the Job, and all that before the next night."""
    (cron,) = of_kind(overlay, "CronJob")
    job, ray = cron["spec"]["jobTemplate"]["spec"], ray_job(overlay)["spec"]
    hours = float(re.search(r"--hours (\S+)", ray["entrypoint"])[1])  # type: ignore[index]
    assert hours * 3600 < ray["activeDeadlineSeconds"] < job["activeDeadlineSeconds"] < 24 * 3600
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    assert {"startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"} <= set(cron["spec"])
    assert job["backoffLimit"] > 0
    assert ray["backoffLimit"] == 0, "KubeRay refuses another value on a cluster that stands"
    (cluster,) = of_kind(overlay, "RayCluster")
    assert ray["clusterSelector"] == {"ray.io/cluster": cluster["metadata"]["name"]}
    wanted = yaml.safe_load(ray["entrypointResources"])
    offered = [group["rayStartParams"].get("resources", "") for group in cluster["spec"]["workerGroupSpecs"]]
    assert [text for text in offered if text and yaml.safe_load(yaml.safe_load(text)) == wanted]


def test_an_account_may_do_what_its_pod_asks_for_and_no_more() -> None:
    (role,) = of_kind("cpu-small", "Role")
    assert role["rules"] == [{"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get"]}]


def test_base_files_are_all_used() -> None:
    for kustomization in INFRA.rglob("kustomization.yaml"):
        said = kustomization.read_text()
        for path in kustomization.parent.glob("*.yaml"):
            assert path == kustomization or path.name in said, f"{path.relative_to(ROOT)} is applied by nobody"
