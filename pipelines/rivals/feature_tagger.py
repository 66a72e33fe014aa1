"""A tagger without a network: an averaged perceptron (Collins 2002: Discriminative training methods for hidden Markov
models) over features of a word and of its neighbours (Ratnaparkhi 1996), each tag on its own."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

AFFIXES = 4
"""Characters of the longest beginning and end that count."""
EPOCHS = 5
REACH = 2
"""Words to each side."""
EDGE = "<edge>"


def features(words: Sequence[str]) -> Iterator[list[str]]:
    """Of each word of a sentence: itself, its beginnings, ends and shape, the words around it."""
    around = [*[EDGE] * REACH, *words, *[EDGE] * REACH]
    for place, word in enumerate(words):
        found = [f"{by}:{around[place + REACH + by]}" for by in range(-REACH, REACH + 1)]
        found += [f"before:{around[place + REACH - 1]} {word}", f"after:{word} {around[place + REACH + 1]}"]
        found += [f"lower:{word.lower()}", f"shape:{_shape(word)}", f"neighbour:{around[place + REACH - 1][-3:]}"]
        for length in range(1, min(AFFIXES, len(word)) + 1):
            found += [f"begins:{word[:length]}", f"ends:{word[-length:]}"]
        yield found


class FeatureTagger:
    """Fitted on hashed features: seconds, and bounded memory."""

    def __init__(self, sentences: Sequence[Sequence[str]], tags: NDArray[np.int64]):
        """
        Args:
            tags: of all words, one after the other.
        """
        from sklearn.linear_model import SGDClassifier  # here: its import takes a second

        perceptron = {"loss": "perceptron", "penalty": None, "learning_rate": "constant", "eta0": 1.0}
        self._fitted = SGDClassifier(**perceptron, average=True, max_iter=EPOCHS, tol=None, random_state=0)
        self._fitted.fit(_matrix(sentences), tags)

    def __call__(self, sentences: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        """The tag of each word, one sentence after the other."""
        return cast(NDArray[np.int64], self._fitted.predict(_matrix(sentences)))


def _matrix(sentences: Sequence[Sequence[str]]) -> Any:
    from sklearn.feature_extraction import FeatureHasher

    hasher = FeatureHasher(n_features=1 << 20, input_type="string", alternate_sign=False)
    return hasher.transform(found for words in sentences for found in features(words))


def _shape(word: str) -> str:
    """Capitals as X, small letters as x, digits as 0, runs as one: `McDonald's` is XxXx'x."""
    kinds = ["X" if c.isupper() else "x" if c.isalpha() else "0" if c.isdigit() else c for c in word]
    return "".join(kind for place, kind in enumerate(kinds) if place == 0 or kind != kinds[place - 1])
