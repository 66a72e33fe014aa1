"""Heads: output weights with their loss and their prediction; one file each.

A head takes the hidden states of a model and has

    loss(hidden_TBH, targets_TB, valid_TB, starts_TB)     (sum, count), so that unequal workers give the exact mean
    predict(hidden_TBH)                                   what each step says of the targets
    decide(hidden_TBH, valid_TB, starts_TB)               the head's answer, one of what targets can be

`rnn_core.networks.HEADS` is the one list. Beside them stands what they share: `cross_entropy`, `steps` and `chains`.
"""
