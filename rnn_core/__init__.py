"""Recurrent networks: cells, lanes, truncated backpropagation through time, training state.

Knows torch, numpy, pyarrow and safetensors; nothing of clusters, tracking, pipelines or the environment.

Shape suffixes, used on every tensor here:
    T  steps of a window            B  lanes of a batch (this worker's)
    D  input features               H  hidden features of one direction
    G  gates times hidden features  V  classes or words of a vocabulary
    N  sequences of a window        E  embedding features
    S  places of a memory           M  its features
    A  features of attention        K  hypotheses of a search
`x_TBD` is a window of inputs, `h_BH` a state at one step.
"""
