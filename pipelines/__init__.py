"""The stages of `dvc repro` and what they stand on: one thin file a stage, working on files."""

from pipelines import telemetry

telemetry.off()
