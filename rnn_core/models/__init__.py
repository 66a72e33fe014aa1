"""One file a kind of problem: how its windows are filled and assembled, and the layers that read them.

A kind's module offers `Config`, `Sizes` (what the data decide: vocabulary, tags), `Model(config, sizes)`,
`filling(columns, ...)`, `assemble(columns)` and `pad_shares(windows)`: what share of what is padding, by name. KINDS is
the one list. Beside them stands what several kinds share: `decoder`.
"""

from rnn_core.models import classification, language_model, tagging, transduction

KINDS = {
    "classification": classification,
    "language_model": language_model,
    "tagging": tagging,
    "transduction": transduction,
}
