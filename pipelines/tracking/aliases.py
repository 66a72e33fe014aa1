"""Which version of a model is in use, and why: the aliases `champion`, `challenger` and `previous`.

    challenger   the newest version
    champion     the one in use: the first there was, and then who was better than it (`pipelines/promote.py`)
    previous     who was champion before: what a rollback puts back

The order of the writes is such that a process killed between any two of them leaves a champion and nothing that the
next decision does not set right. Of two decisions at once the second finds that the champion is another one than it
compared with, and compares again: in one checkout because of the lock, on two machines because each looks before it
writes, and once more when all is written. Two machines that write between each other's looks leave the later one.
"""

from mlflow import MlflowClient

from pipelines.tracking import environment
from pipelines.tracking.evaluation import CHALLENGER, CHAMPION, PREVIOUS, Card, Ruling
from pipelines.tracking.models import aliases, find, name_of
from rnn_core.errors import DataError

VERDICT = "verdict"
"""Tag of a version: why it is the champion or not, once that has been decided."""
USES = "test_uses."
"""How tags of a model begin that count how often the test data of a digest have decided; then 16 digits of it."""


def uses(client: MlflowClient, name: str, test_digest: str) -> int:
    """How often these test data have decided about versions of the model."""
    return int(client.get_registered_model(name).tags.get(USES + test_digest[:16], 0))


def decide(client: MlflowClient, name: str, number: int, champion: int | None, ruling: Ruling) -> str | None:
    """Carry a ruling out.

    Args:
        champion: the version that the ruling was made against.

    Returns: why, as the version tells it from now on; None where another version has become the champion meanwhile.
    """
    with environment.lock():
        model = client.get_registered_model(name)
        if _number(model.aliases.get(CHAMPION)) != champion:
            return None
        why = ruling.why
        if ruling.test_digest is not None:
            times = uses(client, name, ruling.test_digest) + 1
            client.set_registered_model_tag(name, USES + ruling.test_digest[:16], str(times))
            why += f"; these test data have decided {times} time{'s' * (times > 1)} about {name}"
        if ruling.moves:
            _crown(client, name, number, champion)
        tell(client, name, number, why)
        overtaken = ruling.moves and _number(client.get_registered_model(name).aliases.get(CHAMPION)) != number
    return None if overtaken else why


def put(client: MlflowClient, suite: str, block: str, wanted: str) -> tuple[int, int | None]:
    """Make a version the champion without comparing anything.

    Returns: it, and the champion before.

    Raises:
        DataError: no such model or version.
    """
    name = name_of(suite, block)
    with environment.lock():
        number = int(find(client, suite, block, wanted).version)
        before = aliases(client, suite, block).get(CHAMPION)
        if before != number:
            _crown(client, name, number, before)
            in_place = f" in the place of version {before}" if before else ""
            tell(client, name, number, f"champion: put there by hand{in_place}, not compared")
    return number, before


def roll_back(client: MlflowClient, suite: str, block: str) -> tuple[int, int]:
    """`previous` and `champion` change places: a second time makes it undone.

    Returns: the champion now and the one before.

    Raises:
        DataError: no such model, or nothing to go back to.
    """
    name = name_of(suite, block)
    with environment.lock():
        held = aliases(client, suite, block)
        champion, previous = held.get(CHAMPION), held.get(PREVIOUS)
        if champion is None or previous is None or champion == previous:
            found = ", ".join(f"{alias} is version {number}" for alias, number in sorted(held.items())) or "no aliases"
            raise DataError(name, f"nothing to go back to: {found}", "a model whose champion has changed once")
        find(client, suite, block, str(previous))
        _crown(client, name, previous, champion)
        tell(client, name, previous, f"champion: put back by a rollback from version {champion}")
        tell(client, name, champion, f"no champion: rolled back to version {previous}")
    return previous, champion


def challenge(client: MlflowClient, name: str) -> None:
    """The newest version is the challenger."""
    newest = max(int(version.version) for version in client.search_model_versions(f"name = '{name}'"))
    client.set_registered_model_alias(name, CHALLENGER, str(newest))


def tell(client: MlflowClient, name: str, number: int, why: str) -> None:
    """The first paragraph of the version's description, before its card; and the mark that it has been decided."""
    version = client.get_model_version(name, str(number))
    _, mark, card = (version.description or "").partition(Card.BEGIN)
    client.update_model_version(name, str(number), f"{why[:1].upper()}{why[1:]}.\n\n{mark}{card}".strip())
    client.set_model_version_tag(name, str(number), VERDICT, why)


def _crown(client: MlflowClient, name: str, number: int, before: int | None) -> None:
    """Killed between the two, the old champion is its own predecessor, which the next change puts right."""
    if before is not None:
        client.set_registered_model_alias(name, PREVIOUS, str(before))
    client.set_registered_model_alias(name, CHAMPION, str(number))


def _number(alias: str | int | None) -> int | None:
    return None if alias is None else int(alias)
