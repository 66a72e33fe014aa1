"""The recurrent parts of a network. Most kinds have one stack; where a whole sequence is read before another one is
said, there are two, and each has a memory of its own."""

from typing import Any, NamedTuple

from torch import Tensor

from rnn_core.lanes import Window


class Part(NamedTuple):
    name: str
    """"decoder" or "encoder"; "" where there is one part only."""
    stack: Any

    @property
    def of_source(self) -> bool:
        """Its steps are those of the source that stands beside a window's steps."""
        return self.name == "encoder"

    def marks(self, window: Window) -> tuple[Tensor, Tensor]:
        """starts_TB and valid_TB of its steps."""
        if self.of_source:
            return window.fields["source_starts_SB"], window.fields["source_valid_SB"]
        return window.starts_TB, window.valid_TB


def parts(network: Any) -> list[Part]:
    """That which says what the loss is of comes first."""
    model = network.model
    if hasattr(model, "decoder"):
        return [Part("decoder", model.decoder.stack), Part("encoder", model.encoder)]
    return [Part("", model.stack)]
