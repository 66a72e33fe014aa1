"""How settings are chosen by validation data: what `pipelines/sweep.py`, the command, is made of.

space.py: what is varied; plan.py: what a sweep is of; trials.py: the record; board.py: who writes it and shows it;
search.py: Ray Tune; results.py: table and winner.
"""
