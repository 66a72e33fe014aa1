"""`--prune`: remove what may go (`retention/`) from a checkout and from its tracking server, or say what would go."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from pipelines import locks, paths, tracking
from pipelines.retrain import environment, turn
from pipelines.retrain.outcome import Outcome
from pipelines.retrain.retention import cache, trainings, versions
from pipelines.retrain.retention.history import History
from pipelines.retrain.retention.piece import Piece
from pipelines.retrain.settings import WhenBusy


def run(work: Path | None, *, keep: int, when_busy: WhenBusy, dry_run: bool) -> Outcome:
    """
    Args:
        work: of ticks; None: the checkout that this code lies in.
        keep: lock files of each suite and branch that count.

    Raises:
        TrackingError: the server does not say which versions are in use: nothing is removed.
        DataError: the checkout has no git history.
    """
    checkout = paths.REPOSITORY if work is None else environment.enter(work)
    try:
        with _alone(work, checkout, when_busy):
            pieces = list(find(checkout, keep))
            for piece in pieces:
                print(f"{piece.kind:<11}{piece.name}  {piece.size:,} bytes", flush=True)
                if not dry_run:
                    piece.remove()
    except turn.Busy as busy:
        print(f"prune: {Outcome.BUSY.words}: {busy}")
        return Outcome.BUSY
    counts = Counter(piece.kind for piece in pieces)
    told = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in sorted(counts.items())) or "nothing"
    print(f"{'would remove' if dry_run else 'removed'} {told}; {sum(piece.size for piece in pieces):,} bytes here")
    return Outcome.DONE


def find(checkout: Path, keep: int) -> Iterator[Piece]:
    """All that may go, found before the first of it goes."""
    history, tracker = History(checkout, keep), tracking.connect()
    registered, runs = tracker.registered(), history.runs()
    kept = {one.training_id for one in registered if not one.superseded or one.run_id in runs}
    return chain(
        trainings.finished(checkout, tracker, kept),
        trainings.sent(checkout, tracker),
        versions.superseded(registered, tracker, runs),
        versions.brought(registered, checkout, runs),
        cache.unreached(checkout, history),
    )


@contextlib.contextmanager
def _alone(work: Path | None, checkout: Path, when_busy: WhenBusy) -> Iterator[None]:
    """No tick, and no `make repro` in the checkout, runs beside.

    Raises:
        Busy: one does.
    """
    with contextlib.ExitStack() as until:
        if work is not None:
            until.enter_context(turn.taken(work, when_busy))
        try:
            until.enter_context(locks.held(checkout / "data/.repro.lock", name="retrain --prune", seconds=0))
        except TimeoutError as error:
            raise turn.Busy(str(error)) from None
        yield
