"""One file a kind of problem: how its windows are filled and assembled, and the layers that read them.

A kind's module offers `Config`, `Sizes` (what the data decide: vocabulary, tags), `Model(config, sizes)`,
`filling(columns, ...)`, `assemble(columns)` and `pad_shares(windows)`: what share of what is padding, by name. KINDS is
the one list.
"""

from rnn_core.models import classification, language_model, recognition, tagging

KINDS = {
    "classification": classification,
    "language_model": language_model,
    "recognition": recognition,
    "tagging": tagging,
}
