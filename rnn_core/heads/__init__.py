"""Heads: output weights with their loss and their prediction; one file each.

A head takes the hidden states of a model and has

    loss(hidden_TBH, targets_TB, valid_TB) -> (sum, count)     sums, so that unequal workers give the exact mean
    predict(hidden_TBH)                                        what the targets are to be compared with

`rnn_core.networks.HEADS` is the one list. Beside them stands what they share: `cross_entropy` and `steps`.
"""
