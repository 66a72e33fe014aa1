"""Heads: output weights with their loss and their prediction; one file each.

A head takes the hidden states of a model and has

    loss_of(window, hidden) -> (sum, count)     sums, so that unequal workers give the exact mean
    predict(...)                                what the targets are to be compared with

What counts once in the mean loss is the head's to say: a step where each has a target (`steps.StepHead`, whose `loss`
and `predict` need hidden states and no window), a sequence where only its outcome has one. All that a head needs
beside hidden states it takes from the window: fields, and the marks of its sequences. A field that is laid out by step
and lane has a name that ends in `_TB...`; so `Window.lane` and `Window.steps` can cut it. What belongs to a sequence
stands at its first step, or is an index there into a field of another shape, which is never cut.

`rnn_core.networks.HEADS` is the one list. Beside them stands what they share: `cross_entropy` and `steps`.
"""
