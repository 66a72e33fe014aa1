"""Numbers that stand as text."""

from rnn_core.errors import DataError


def numbers(cells: list[bytes], wanted: int, where: str) -> list[float]:
    """
    Raises:
        DataError: text that is no number, or not `wanted` of them.
    """
    try:
        found = [float(cell) for cell in cells]
    except ValueError as error:
        raise DataError(where, str(error), "numbers") from error
    if len(found) != wanted:
        raise DataError(where, f"{len(found)} numbers", f"{wanted} are wanted")
    return found
