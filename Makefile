# Thin: every target makes .venv first where it is missing or older than requirements.lock, then runs one command.
#   make repro      raw data to registered models, then the table of scores; SUITE=public TASK=pos_tagging limit it
#                   JOBS=4: so many tasks side by side on the cluster that RAY_ADDRESS names
#   make test       the test suite, on all cores; make test-all: with the long ones
#   make check      ruff, mypy, the two copies of dvc.yaml
#   make sweep      tries settings of TASK's network by validation data, and offers the best; SUITE=public TRIALS=50
#   make report     the suite's page of what has been run so far: data/reports/sample.html; `make repro` makes it too
#   make ui         MLflow's pages on what was trained, with a link to the comparison of each block
#   make promote    TASK=pos_tagging: its newest model in use where it is better; VERSION=3: that one, whatever it is
#   make rollback   TASK=pos_tagging: the model in use before; again: undone
#   make bench      speed and memory beside torch.nn and plain loops, minutes on a quiet machine; BENCH='layer/*': a part
#   make readme     the tables of README.md and of infra/ from the score files and the benchmarks' results
#   make lock       requirements.lock from pyproject.toml; UPGRADE=1 takes the newest versions
# PYTHON=python3.12 names the Python that .venv is made with.
SUITE ?= sample
TASK ?=
JOBS ?= 1
VERSION ?=
BENCH ?= *
TRIALS ?= 20
python := .venv/bin/python
public := pipelines/suites/public/dvc.yaml
# A process a core, at most four: a test may start workers of its own. A file of tests stays in one process, as its
# tests may share a checkout, and files are begun in the order of tests/conftest.py.
parallel := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
export PYTHON UPGRADE

.PHONY: environment repro test test-all check sweep promote rollback bench report ui readme lock
.NOTPARALLEL:

repro: environment $(public)
	@$(python) -m pipelines.repro --suite '$(SUITE)' --block '$(TASK)' --jobs '$(JOBS)'

test: environment
	$(python) -m pytest $(parallel)

test-all: environment
	$(python) -m pytest $(parallel) -m ''

check: environment
	$(python) -m ruff check .
	$(python) -m mypy
	cmp dvc.yaml $(public)

promote: environment
	@$(python) -m pipelines.promote '$(TASK)' --suite '$(SUITE)' --version '$(VERSION)'

rollback: environment
	@$(python) -m pipelines.promote '$(TASK)' --suite '$(SUITE)' --rollback

bench: environment
	@$(python) -m tests.benchmarks '$(BENCH)'

sweep: environment
	@$(python) -m pipelines.sweep '$(TASK)' --suite '$(SUITE)' --trials '$(TRIALS)'

report: environment
	@$(python) -m pipelines.report --suite '$(SUITE)'

ui: environment
	@$(python) -m pipelines.ui

readme: environment
	$(python) -m pipelines.reports.tables --readme
	$(python) -m infra.scaling
	$(python) -m infra.sizing

lock: environment
	$(python) infra/lock.py

environment:
	@sh infra/environment.sh

$(public): dvc.yaml
	cp dvc.yaml $@
