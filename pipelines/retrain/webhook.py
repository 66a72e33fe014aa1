"""The summary to whom it concerns: a POST of JSON to the address in RNN_WEBHOOK.

`text` is what chat services show; the other keys are for programs. The address is a secret, as whoever has it may write
there: errors name its host only.
"""

import http.client
import json
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from pipelines.retrain.summary import Summary
from rnn_core.errors import DataError

SECONDS = 10.0


def send(address: str, summary: Summary) -> None:
    """
    Raises:
        DataError: it was not taken.
    """
    parts = urlsplit(address)
    where = f"RNN_WEBHOOK (host {parts.hostname})"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DataError("RNN_WEBHOOK", "no address of the web", "https://...")
    body = json.dumps({"text": summary.as_text()} | summary.as_json()).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            return
    except urllib.error.HTTPError as error:
        raise DataError(where, f"it answered {error.code}", "a webhook that takes JSON") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DataError(where, f"cannot be reached: {type(reason).__name__}", "a webhook that answers") from None
