"""Where a network looked while it said what is right: the weights of its attention, whatever it attends to."""

from typing import Any

import torch
from torch import Tensor, nn

from rnn_core.lanes import Window


@torch.no_grad()
def attended(network: Any, window: Window) -> Tensor | None:
    """weights_TBS at each step of the window, a share of 1 on each place of what is attended to; None without.

    Args:
        network: one that carries nothing from window to window.
    """
    model = network.model
    attention = getattr(getattr(model, "decoder", model), "attention", None)
    if attention is None:
        return None
    kept: list[Tensor] = []

    def keep(module: nn.Module, given: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        kept.append(output[1])

    hook, training = attention.register_forward_hook(keep), network.training
    network.eval()
    try:
        network(window, network.initial_carry(window.starts_TB.shape[1]))
    finally:
        hook.remove()
        network.train(training)
    # A decoder that walks step by step attends once a step.
    weights_BTS = torch.cat(kept, 1)
    if "places_TB" in window.fields:
        # The steps that are about one picture attended side by side (`rnn_core.images.illustrated`).
        return weights_BTS.flatten(0, 1)[window.fields["places_TB"]]
    return weights_BTS.transpose(0, 1)
