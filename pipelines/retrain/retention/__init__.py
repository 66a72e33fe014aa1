"""What may go: checkpoints of finished trainings, superseded model versions, DVC cache that no lock file reaches,
spools that the server has. Never what an alias, one of the last lock files or a running job refers to.

Each kind is found by a file of its own, as pieces that say what they are before anything is removed.
"""
