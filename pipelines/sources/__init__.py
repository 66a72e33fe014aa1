"""Where raw data come from: public data sets (`catalogue/<dataset>.yaml`), their mirror, the user's own files.

Read from top to bottom: `dataset` (one catalogue entry), `mirror` (RNN_DATA_MIRROR), `download` and `archive` (one
file in, verified or refused), `obtain` (all files of a data set), `own` (the user's files).
"""
