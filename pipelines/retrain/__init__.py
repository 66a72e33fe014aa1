"""Retraining that runs by itself: one tick of a schedule, from a repository's revision to promoted models.

`__main__.py` is the entry point of all schedulers, `tick.py` the order of things; what a tick leaves lies in a work
folder of its own:

    tick.lock                     held by the tick at work, and by what it runs
    repository/                   its clone, with data, cache and training states: what the next tick goes on from
    mlflow.db, mlartifacts/       the tracking store, where MLFLOW_TRACKING_URI names no server
    ticks/<suite>/<tick>/         tick.json, log.txt, summary.json, summary.txt
"""
