#!/usr/bin/env bash
# All five stages on real data, small: a few hundred updates of pos_tagging on ud_english_ewt. In a clone of its own in
# a temporary folder, so that it leaves no score, run or setting behind. RNN_DATA_MIRROR names the mirror (absolute).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
clone=$(mktemp -d)
trap 'rm -rf "$clone"' EXIT

git clone --quiet "file://$root" "$clone"
cd "$clone"
export PATH="$root/.venv/bin:$PATH" MLFLOW_TRACKING_URI="sqlite:///$clone/mlflow.db"
python infra/ci_real_data.py prepare
python -m dvc repro pipelines/suites/public/dvc.yaml:register@pos_tagging
python infra/ci_real_data.py check
