"""All five stages, by `dvc repro`, on two blocks of a user's own files: a small copy of the repository is the machine.

The tests of this module go on from one another's state, in their order, as a user's days do.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.pipelines import spooled

ROOT = Path(__file__).resolve().parent.parent
TRAIN = {
    "lanes": 4,
    "window": 12,
    "k2": 12,
    "epochs": 2,
    "clip": 1.0,
    "point_steps": 5,
    "optimizer": {"name": "adamw", "rate": 0.01},
    "schedule": {"name": "constant"},
}
COMPARED = {
    "metrics": {
        *("train/loss", "train/tokens_per_second", "train/gradient_norm", "train/rate", "train/epoch", "seconds"),
        *("training/seconds", "training/steps", "training/parameters", "training/tokens_per_second"),
        *("training/core_seconds", "training/gpu_seconds", "training/pad_share", "score/validation", "score/test"),
    },
    "params": {"task", "metric", "model.cell", "train.seed", "train.lanes", "train.window", "train.optimizer.rate"},
    "tags": {
        *("suite", "block", "task", "kind", "dataset", "training", "cell", "role", "training_id", "key"),
        *("revision", "data_digest", "source_digest", "dvc_hash"),
        *("workers", "threads", "device", "products", "processor", "cores", "gpu"),
    },
}
"""What every run says, whatever its task."""
NOUNS, VERBS = ["dog", "cat", "bird"], ["runs", "sings", "sleeps"]


def sentences(count):
    rng = random.Random(0)
    return [["the", rng.choice(NOUNS), rng.choice(VERBS), "."] for _ in range(count)]


def conllu(some):
    tag = {"the": "DET", ".": "PUNCT"} | dict.fromkeys(NOUNS, "NOUN") | dict.fromkeys(VERBS, "VERB")
    lines = [[f"{i}\t{w}\t_\t{tag[w]}\t_\t_\t_\t_\t_\t_" for i, w in enumerate(s, 1)] for s in some]
    return "".join("\n".join(block) + "\n\n" for block in lines)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A copy of what git tracks, as a repository of its own, with the user's files beside it."""
    home = tmp_path_factory.mktemp("machine") / "repository"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "data/", "dvc.lock")):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, home / name)
    own = home.parent / "own"
    own.mkdir()
    for split, count in (("train", 300), ("validation", 60), ("test", 60)):
        (own / f"{split}.conllu").write_text(conllu(sentences(count)))
    (home.parent / "story.txt").write_text("".join(" ".join(s) + "\n" for s in sentences(600)))
    params = yaml.safe_load((home / "params.yaml").read_text())
    blocks = {"my_tags": tags_block(own), "my_story": story_block(home.parent / "story.txt")}
    params["blocks"] = json.loads(json.dumps(blocks))  # nothing shared, so that a change of one place is one change
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"]):
        subprocess.run(["git", *command], cwd=home, check=True)
    return home


def tags_block(folder):
    model = {"embedding_size": 8, "hidden_size": 8, "num_layers": 1, "bidirectional": True, "min_count": 1}
    model |= {"cell": "gru", "input_dropout": 0.1, "dropout": 0.1, "word_dropout": 0.1}
    train = TRAIN | {"carry": False}
    split = {"train": "train.conllu", "validation": "validation.conllu", "test": "test.conllu"}
    return {
        "task": "pos_tagging",
        "data": {"from": str(folder), "files": split, "max_length": 12, "too_long": "split"},
        "model": model | {"characters": {"cell": "elman", "embedding_size": 4, "hidden_size": 4}},
        "train": train,
        "baselines": {"memoryless": {"model": {"cell": "memoryless"}, "train": train}},
        "evaluate": {"metric": "accuracy", "published": None},
    }


def story_block(file):
    model = {"cell": "lstm", "embedding_size": 8, "hidden_size": 8, "num_layers": 1, "tie": True}
    return {
        "task": "language_model",
        "data": {"from": str(file), "level": "word", "min_count": 1},
        "model": model | {"input_dropout": 0.0, "dropout": 0.1},
        "train": TRAIN | {"carry": True},
        "baselines": {},
        "evaluate": {"metric": "perplexity", "published": None},
    }


def python(home, *command, check=True, **environment):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=home,
        env=os.environ | {"PATH": path, "RNN_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


def stages_run(done):
    return [line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")]


def score(home, block):
    return json.loads((home / f"data/scores/sample/{block}.json").read_text())


def test_own_data_run_through_all_five_stages(home):
    done = python(home, "pipelines.repro")
    assert len(stages_run(done)) == 2 * 5 + 1, done.stdout
    assert "my_tags" in done.stdout.split("best possible")[1], "the table is printed at the end"
    assert "data/reports/sample.html" in done.stdout.split("best possible")[1]
    page = (home / "data/reports/sample.html").read_text()
    assert page.count("<img ") >= 4, "pictures of both blocks"
    assert page.count("by updates") == 2
    tags, story = score(home, "my_tags"), score(home, "my_story")
    assert tags["score"] > 90
    assert set(tags["baselines"]) == {"memoryless", "feature_tagger"}
    assert (tags["dataset"], tags["metric"], tags["direction"]) == ("own", "accuracy", "max")
    assert (story["dataset"], story["metric"], story["direction"]) == ("story", "perplexity", "min")
    assert 1.5 < story["score"] < 6
    assert tags["model_version"] == story["model_version"] == 1
    assert story["best_possible"] is None
    assert story["seeds"] == [1]


def test_nothing_is_left_for_git_to_pick_up(home):
    done = subprocess.run(["git", "status", "--porcelain"], cwd=home, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == ["??", "??", "data/", "dvc.lock"] or "data/scores" in done.stdout
    ignored = subprocess.run(["git", "add", "-An"], cwd=home, capture_output=True, text=True, check=True)
    assert {line.split("'")[1].split("/")[0] for line in ignored.stdout.splitlines()} == {"data", "dvc.lock"}
    assert "data/raw" not in ignored.stdout
    assert "data/checkpoints" not in ignored.stdout


def test_a_second_time_nothing_runs(home):
    assert stages_run(python(home, "pipelines.repro")) == []


def names(home, table, training):
    """Keys in mlflow's store of one block's recurrent run."""
    own = (
        "select t.run_uuid from tags t join runs r using (run_uuid) join experiments e using (experiment_id) "
        f"where t.key = 'training' and t.value = 'recurrent' and e.name = 'sample/{training}'"
    )
    found = spooled.rows(home / "mlflow.db", f"select distinct key from {table} where run_uuid in ({own})")
    return {key for (key,) in found}


def test_runs_of_different_tasks_say_the_same_things_by_the_same_names(home):
    of_a_task = ("validation/", "best/", "test/", "model.", "training/character_")
    for table, wanted in COMPARED.items():
        tags, story = (names(home, table, block) for block in ("my_tags", "my_story"))
        assert wanted <= tags & story, table
        assert {key for key in tags ^ story if not key.startswith(of_a_task)} == set(), table


def test_the_dvc_commands_that_people_use_work(home):
    metrics = json.loads(python(home, "dvc", "metrics", "show", "--json").stdout)[""]["data"]
    assert "data/runs/sample/my_tags/metrics.json" in metrics
    plots = python(home, "dvc", "plots", "show", "-o", str(home.parent / "plots"))
    assert plots.stdout.strip().endswith("index.html")
    python(home, "dvc", "params", "diff")


def test_the_model_answers_raw_text(home):
    answer = json.loads(python(home, "pipelines.predict", "my_tags", "the dog sings.").stdout)
    assert answer["text"] == "the dog sings."
    assert answer["words"] == ["the", "dog", "sings", "."]
    assert answer["tags"] == ["DET", "NOUN", "VERB", "PUNCT"]
    answer = json.loads(python(home, "pipelines.predict", "my_story", "the cat").stdout)
    assert set(answer["continuation"].split()) <= {"the", ".", *NOUNS, *VERBS}
    code = """
        import mlflow, pandas, sys
        model = mlflow.pyfunc.load_model("models:/rnn-my_tags@champion")
        print(list(model.predict(pandas.DataFrame({"text": ["the dog sings."]}))["tags"][0]))
    """
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line.strip() for line in code.splitlines())],
        cwd=home.parent,
        env=os.environ | store,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip().endswith("['DET', 'NOUN', 'VERB', 'PUNCT']"), done.stderr


@pytest.mark.long
def test_a_deleted_store_is_filled_again_without_training(home):
    before = {block: score(home, block)["score"] for block in ("my_tags", "my_story")}
    (home / "mlflow.db").unlink()
    done = python(home, "pipelines.repro")
    assert not [name for name in stages_run(done) if name.startswith(("train", "evaluate"))]
    code = """
        from mlflow import MlflowClient
        client = MlflowClient()
        for experiment in client.search_experiments():
            for run in client.search_runs([experiment.experiment_id]):
                curve = client.get_metric_history(run.info.run_id, "train/loss")
                print(experiment.name, run.data.tags["training"], run.info.status, len(curve))
        for name in ("rnn-my_tags", "rnn-my_story"):
            print(name, client.get_model_version_by_alias(name, "champion").version)
    """
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line[8:] for line in code.splitlines())],
        env=os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    for wanted in (
        "sample/my_tags recurrent FINISHED",
        "sample/my_tags memoryless FINISHED",
        "sample/my_story recurrent",
    ):
        assert any(line.startswith(wanted) and int(line.split()[-1]) > 3 for line in lines), done.stdout
    assert "rnn-my_tags 1" in lines
    assert {block: score(home, block)["score"] for block in before} == before


@pytest.mark.long
def test_one_learning_rate_runs_its_block_only_and_no_baseline_and_two_at_once_run_it_once(home):
    params = yaml.safe_load((home / "params.yaml").read_text())
    params["blocks"]["my_tags"]["train"]["optimizer"]["rate"] = 0.02
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    before = score(home, "my_tags")
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: python(home, "pipelines.repro"), range(2)))
    assert sorted(stages_run(both[0]) + stages_run(both[1])) == [
        "evaluate@my_tags",
        "register@my_tags",
        "report",
        "train@my_tags",
    ]
    # By name, unless it looked at the moment in which the other one was writing its own.
    assert sum("repro: waiting for " in done.stdout for done in both) == 1
    assert "my_tags/memoryless: trained already" in both[0].stdout + both[1].stdout
    after = score(home, "my_tags")
    assert after["run_id"] != before["run_id"]
    assert after["baselines"] == before["baselines"]
    assert after["model_version"] == 2


def test_without_a_tracking_server_training_completes_and_register_says_how_to_go_on(home):
    params = yaml.safe_load((home / "params.yaml").read_text())
    params["blocks"]["my_story"]["train"]["optimizer"]["rate"] = 0.02
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    done = python(home, "dvc", "repro", check=False, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode != 0
    assert "evaluate@my_story" in stages_run(done)
    assert "python -m pipelines.register my_story --suite sample" in done.stdout + done.stderr
    assert score(home, "my_story")["model_version"] is None
    done = python(home, "pipelines.repro")
    assert stages_run(done) == ["register@my_story", "report"]
    assert score(home, "my_story")["model_version"] == 2


def test_a_rate_that_is_no_number_is_one_clear_line(home):
    text = (home / "params.yaml").read_text()
    params = yaml.safe_load(text)
    params["blocks"]["my_tags"]["train"]["optimizer"]["rate"] = "1e-3"
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    done = python(home, "dvc", "repro", check=False)
    (home / "params.yaml").write_text(text)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "blocks.my_tags.train.optimizer.rate: found '1e-3' (text); wanted is a number" in lines[0]


@pytest.mark.long
def test_a_loss_that_is_no_number_stops_and_names_task_step_and_lanes(home):
    text = (home / "params.yaml").read_text()
    params = yaml.safe_load(text)
    params["blocks"]["my_story"]["train"] |= {"optimizer": {"name": "sgd", "rate": 1e38}, "clip": 1e38}
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    done = python(home, "pipelines.train", "my_story", check=False)
    (home / "params.yaml").write_text(text)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: my_story/recurrent: update ")
    assert "lanes 0, 1, 2, 3: the loss is not finite" in line
