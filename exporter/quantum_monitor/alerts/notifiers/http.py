"""One POST to a receiver over HTTP, whose address is a secret."""

from __future__ import annotations

import email.utils
import json
import logging
import math
import ssl
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from quantum_monitor.alerts.notifiers.protocol import DeliveryError
from quantum_monitor.store.runfile import plain

if TYPE_CHECKING:
    import requests

TIMEOUT = 10.0
"""Seconds to wait for a connection, and for each part of the answer."""

_RETRIED = frozenset({408, 425, 429, *range(500, 600)})
_POSTING = threading.local()


def post(url: str, body: object, *, authorization: str | None = None, timeout: float = TIMEOUT) -> None:
    """Send JSON. NaN becomes null; redirects are not followed, since a POST does not survive them.

    Args:
        url: where to; appears in no error and no log.
        body: mappings, lists, texts and numbers.
        authorization: the value of the header of that name.
        timeout: seconds, for the connection and for each part of the answer.

    Raises:
        DeliveryError: no connection, no answer, or one that is not 2xx. 408, 425, 429, 5xx and troubles of the network
            can be tried again; a wrong address, credential, certificate or payload cannot.
    """
    import requests

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        # Given as `auth`, lest requests looks for a password in ~/.netrc and overwrites ours with it.
        if authorization is not None:
            request.headers["Authorization"] = authorization
        return request

    _keep_addresses_out_of_the_log()
    _POSTING.active = True
    try:
        with requests.post(
            url,
            data=json.dumps(plain(body), allow_nan=False).encode(),
            headers={"Content-Type": "application/json"},
            auth=sign,
            timeout=timeout,
            allow_redirects=False,
            stream=True,  # the body of the answer is of no use, and may never end
        ) as answer:
            failure = _refusal(answer)
    except (requests.RequestException, OSError, ValueError) as error:
        failure = _trouble(error, timeout)
    finally:
        _POSTING.active = False
    if failure is not None:
        raise failure  # out here, so that it does not carry the exception of requests, which tells the address


def _refusal(answer: requests.Response) -> DeliveryError | None:
    code = answer.status_code
    if 200 <= code < 300:
        return None
    if code in _RETRIED:
        return DeliveryError(f"the receiver answered {code}", retry=True, after=_retry_after(answer.headers))
    return DeliveryError(f"the receiver answered {code}, which another try does not change", retry=False)


def _retry_after(headers: Any) -> float | None:
    """Seconds that the header asks for: it holds a number of them, or a date."""
    told = str(headers.get("Retry-After", "")).strip()
    try:
        seconds = float(told) if not told.endswith("GMT") else _seconds_until(told)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str) -> float:
    return email.utils.parsedate_to_datetime(date).timestamp() - time.time()


def _trouble(error: Exception, timeout: float) -> DeliveryError:
    """What went wrong, in words that hold no address, and whether it may pass."""
    import requests

    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return DeliveryError(f"the receiver's certificate is refused: {cause.verify_message}", retry=False)
    if isinstance(error, requests.Timeout):
        return DeliveryError(f"no answer within {timeout:g} s", retry=True)
    if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, OSError)) and not (
        isinstance(error, ValueError)
    ):
        told = (cause.strerror for cause in causes if isinstance(cause, OSError) and cause.errno is not None)
        return DeliveryError(f"no connection ({next(filter(None, told), type(error).__name__)})", retry=True)
    return DeliveryError(f"the request cannot be sent ({type(error).__name__})", retry=False)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and all that it was made of: requests and urllib3 pack one into the next."""
    pending, seen = [error], set[int]()
    while pending:
        cause = pending.pop(0)
        if id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            inner = (*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__)
            pending.extend(part for part in inner if isinstance(part, BaseException))


def _keep_addresses_out_of_the_log() -> None:
    """Silence urllib3 about our requests: it writes the path, for a webhook the secret, into its debug log."""
    logging.getLogger("urllib3.connectionpool").addFilter(_is_not_ours)  # once: a filter is not added twice


def _is_not_ours(_record: logging.LogRecord) -> bool:
    return not getattr(_POSTING, "active", False)
