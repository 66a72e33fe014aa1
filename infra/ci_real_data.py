"""Makes the public pos_tagging block small before CI's training on real data, and looks at its score afterwards.

python infra/ci_real_data.py prepare|check        (in a clone of its own: see ci_real_data.sh)
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

PARAMS = Path("pipelines/suites/public/params.yaml")
SCORE = Path("data/scores/public/pos_tagging.json")
BLOCK = "pos_tagging"
FLOOR = 60.0
"""Accuracy that a few hundred updates must reach (79.9 % measured): the most frequent tag alone gets 16.4 %."""


def main() -> None:
    if sys.argv[1:] == ["prepare"]:
        prepare()
    elif sys.argv[1:] == ["check"]:
        check()
    else:
        sys.exit("error: ci_real_data.py: found no action; prepare or check")


def prepare() -> None:
    """Two epochs (some 300 updates), small layers, no score from before."""
    settings = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    block = settings["blocks"][BLOCK]
    for training in (block, *block["baselines"].values()):
        training["train"]["epochs"] = 2
    block["model"] |= {"embedding_size": 50, "hidden_size": 50}
    block["model"]["characters"] |= {"embedding_size": 16, "hidden_size": 16}
    PARAMS.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    SCORE.unlink(missing_ok=True)


def check() -> None:
    """The score is there, from this training, registered, and far above guessing."""
    score: dict[str, Any] = json.loads(SCORE.read_text(encoding="utf-8"))
    print(f"real data: accuracy {score['score']:.2f} % after two epochs, {score['seconds']:.0f} s of training")
    if score["score"] < FLOOR or not score["run_id"] or not score["model_version"]:
        sys.exit(f"error: {SCORE}: {score}; accuracy of {FLOOR} % or more, a run and a model version are wanted")


if __name__ == "__main__":
    main()
