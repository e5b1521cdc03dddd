"""What an API server answers: which error a Status is, and the objects without what nobody reads.

Called by `transport.py` for answers and by `stream.py` for the ERROR events of a watch.
"""

import gc
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import attrs
import orjson

from kubenode.core.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    ObjectNotFound,
    Refused,
    ServerFailed,
    TooManyRequests,
    Unauthorized,
)
from kubenode.core.model import Json, Kind

_LONGEST_TEXT: Final = 500
_WHO: Final = ": the token or certificate has expired, or is of another cluster; fix: log in again, or name another context"
_BULK: Final = 1 << 18
"""From this size on an answer is a page of objects."""
_FRUITLESS: Final = (
    "failed to create typed patch object",
    "resourceVersion should not be set on objects to be created",
    "strconv.ParseUint: parsing",
    "etcdserver: request is too large",
)
"""What the server calls its own fault, with 500, and is the request's: it would fail the same way for ever."""
_BY_CODE: Final[Mapping[int, type[ApiError]]] = {
    401: Unauthorized,
    403: Forbidden,
    404: ObjectNotFound,
    410: Expired,
    429: TooManyRequests,
}


@attrs.frozen(kw_only=True)
class Answer:
    """An HTTP answer, read to its end.

    Attributes:
        retry_after: the header as it came; empty when there was none.
    """

    code: int
    retry_after: str = ""
    body: bytes = attrs.field(repr=False)


def read(answer: Answer, *, has_test: bool = False) -> Json:
    """Give the object of an answer, or raise what the answer means.

    Args:
        answer: what came.
        has_test: the question was a JSON patch with a `test` operation.

    Raises:
        ApiError: the code is not 2xx, or the body is no JSON object.
    """
    parsed = _parse(answer.body)
    if not 200 <= answer.code < 300:
        status = parsed if parsed is not None and parsed.get("kind") == "Status" else _status(answer)
        raise failure(status, retry_after=answer.retry_after, has_test=has_test)
    if parsed is None:
        raise ServerFailed(f"the answer is no JSON object: {_text(answer)}", status=_status(answer))
    return parsed


def failure(status: Json, *, retry_after: str = "", has_test: bool = False) -> ApiError:
    """Make the error that a Status object means; its message is the server's.

    Args:
        status: as the server sent it.
        retry_after: the header of that name; without it, the Status may say it.
        has_test: the question was a JSON patch with a `test` operation.

    Source: facts/api-machinery.md, sections 1 and 6, observed on kube-apiserver 1.36.
    """
    meaning = _meaning(status, has_test=has_test)
    details = status.get("details") or {}
    seconds = retry_after if retry_after.isdecimal() else details.get("retryAfterSeconds") or 0
    pause = timedelta(seconds=int(seconds)) if seconds else None
    message = str(status.get("message") or f"HTTP {status.get('code', 0)}")
    if meaning is Unauthorized:
        message += _WHO
    return meaning(message, status=status, retry_after=pause)


def _meaning(status: Json, *, has_test: bool) -> type[ApiError]:
    code = int(status.get("code") or 500)
    if code == 409:
        return AlreadyExists if status.get("reason") == "AlreadyExists" else Conflict
    if code == 422 and _has_moved(status, has_test=has_test):
        return Conflict
    if code >= 500:
        text = str(status.get("message") or "")
        return Refused if code == 500 and any(known in text for known in _FRUITLESS) else ServerFailed
    return _BY_CODE.get(code, Refused)


def _has_moved(status: Json, *, has_test: bool) -> bool:
    """Tell whether a 422 is about another state than the caller thought of, not about a wrong request."""
    details: Mapping[str, Any] = status.get("details") or {}
    if has_test and not details:
        # The server says no more than this when an operation of a JSON patch fails.
        return True
    return any(cause.get("field") == "metadata.uid" for cause in details.get("causes") or ())


def clean(kind: Kind, obj: Json) -> Json:
    """Drop managedFields, half of an object's size, and name the kind, which items of a list may lack."""
    metadata = obj.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    obj.setdefault("apiVersion", kind.api_version)
    obj.setdefault("kind", kind.name)
    return obj


def _parse(body: bytes) -> Json | None:
    try:
        parsed = _loads(body)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _loads(body: bytes) -> Any:
    """Parse JSON; a page without the collector, which would look in vain through it while it grows (1.7x)."""
    if len(body) < _BULK or not gc.isenabled():
        return orjson.loads(body)
    gc.disable()
    try:
        return orjson.loads(body)
    finally:
        gc.enable()


def _status(answer: Answer) -> Json:
    """Stand in for the Status that something on the way to the server did not send."""
    return {"kind": "Status", "code": answer.code, "message": f"HTTP {answer.code}: {_text(answer)}"}


def _text(answer: Answer) -> str:
    return answer.body.decode(errors="replace").strip()[:_LONGEST_TEXT] or "nothing"
