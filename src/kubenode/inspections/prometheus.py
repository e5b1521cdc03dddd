"""`prometheus`: a query whose every sample must be within bounds.

Speaks the HTTP API (POST /api/v1/query) with the standard library, without proxies and redirects, and loads none of
it before the first question. What is no number is never a pass: no sample, NaN, an error, a warning, no answer.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from string import Template
from typing import Any, Final
from urllib.parse import SplitResult, urlencode, urlsplit

import attrs

from kubenode.core.inspection import Answer, Fail, Inconclusive, InspectionRequest, Pass

SOCKET_SECONDS: Final = 10.0
"""How long one operation on the connection may take; the hook's `timeout` is for the whole."""
BODY_LIMIT: Final = 1_048_576
"""Most bytes of an answer that are read."""
READS_LIMIT: Final = 4096
"""Most reads of them: whoever sends byte by byte is given up."""
NAMED: Final = 3
VARIABLES: Final = frozenset({"batch", "component", "machines", "nodes", "revision", "set"})
_MANY: Final = frozenset({"machines", "nodes"})
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def _check_url(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    wrong = ValueError(f"{field.name}: {value!r} is not a URL such as http://prometheus:9090")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise wrong
    if re.search(r"[^!-~]", value):
        raise wrong
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"{field.name}: leave out user, query and fragment; the path is of the API's root")


def _check_query(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    if not value.strip():
        raise ValueError(f"{field.name}: is empty; write PromQL")
    template = Template(value)
    if not template.is_valid():
        raise ValueError(f"{field.name}: has a $ that begins no variable; write $$ for a plain one")
    unknown = sorted(set(template.get_identifiers()) - VARIABLES)
    if unknown:
        raise ValueError(
            f"{field.name}: ${{{unknown[0]}}} is no variable; known: {', '.join(sorted(VARIABLES))}"
        )


def _check_bound(_: object, field: "attrs.Attribute[Any]", value: float | None) -> None:
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{field.name}: {value} is no bound")


@attrs.frozen(kw_only=True)
class PrometheusParams:
    """What is asked, and what is well.

    Attributes:
        url: of the server, `http` or `https`; the path of a prefix may follow, as in `https://metrics/prometheus`.
        query: PromQL for an instant; `${nodes}` and `${machines}` stand for a regular expression of the names in this
            batch that are updated, `${set}`, `${component}`, `${revision}`, `${batch}` for what is rolled out.
        max: no sample may be above; None for no bound.
        min: no sample may be below.
        partial: pass although the server warns, as of a store that did not answer it.

    Raises:
        ValueError: a parameter is wrong, or there is no bound.
    """

    url: str = attrs.field(validator=_check_url)
    query: str = attrs.field(validator=_check_query)
    max: float | None = attrs.field(default=None, validator=_check_bound)
    min: float | None = attrs.field(default=None, validator=_check_bound)
    partial: bool = False

    def __attrs_post_init__(self) -> None:
        if self.max is None and self.min is None:
            raise ValueError("max, min: give at least one; else every sample is well")
        if self.max is not None and self.min is not None and self.min > self.max:
            raise ValueError(f"min: {self.min:g} is above max {self.max:g}, so no sample is well")


@attrs.frozen
class _NoData(Exception):  # a meaning: it cannot be told
    """Why it cannot be told."""

    text: str


class PrometheusInspector:
    """Passes when every sample of a query is within its bounds."""

    name = "prometheus"
    params = PrometheusParams

    def inspect(self, request: InspectionRequest[PrometheusParams], /) -> Answer:
        """Ask the server once."""
        params = request.params
        try:
            answer = _asked(urlsplit(params.url), _query(params.query, request))
            samples = tuple(_samples(answer))
        except _NoData as error:
            return Inconclusive(text=error.text)
        if not samples:
            return Inconclusive(text="the query gives no sample")
        beyond = [text for name, value in samples if (text := _beyond(name, value, params))]
        if beyond:
            more = f" and {len(beyond) - NAMED} more" if len(beyond) > NAMED else ""
            return Fail(text=", ".join(beyond[:NAMED]) + more)
        unclear = [name for name, value in samples if math.isnan(value)]
        if unclear:
            return Inconclusive(text=f"{unclear[0]} is NaN")
        warnings = answer.get("warnings")
        if warnings and not params.partial:
            return Inconclusive(text=f"Prometheus warns: {str(warnings)[:200]}")
        return Pass(text=_within(samples, params))


def _query(text: str, request: InspectionRequest[Any]) -> str:
    """Put the names in. A name has no character that PromQL or a regular expression reads, but for the dot."""
    many = {"nodes": request.nodes, "machines": request.machines}
    values = {
        "set": request.set, "component": request.component, "revision": str(request.revision),
        "batch": str(request.batch),
    }  # fmt: skip
    used = set(Template(text).get_identifiers())
    for key in sorted(_MANY & used):
        if not many[key]:
            raise _NoData(f"no updated machine of batch {request.batch} for ${{{key}}}")
    names = [name for key, found in many.items() if key in used for name in found]
    names += [values[key] for key in sorted(used - _MANY)]
    odd = next((name for name in names if _NAME.fullmatch(name) is None), None)
    if odd is not None:
        raise _NoData(f"{odd!r} is no name that can stand in a query")
    values |= {key: "|".join(name.replace(".", "[.]") for name in found) for key, found in many.items()}
    return Template(text).substitute(values)


def _asked(url: SplitResult, query: str) -> Mapping[str, Any]:
    """Post a query and give the server's answer, whose status is `success`."""
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=SOCKET_SECONDS)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    path = url.path.rstrip("/") + "/api/v1/query"
    try:
        connection.request("POST", path, body=urlencode({"query": query}), headers=headers)
        response = connection.getresponse()
        status, body = response.status, _body(iter(lambda: response.read1(65_536), b""))
    except (OSError, HTTPException) as error:
        raise _NoData(f"{url.hostname} cannot be asked: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    if 300 <= status < 400:
        raise _NoData(f"{url.hostname} answers with a redirect ({status}); write the URL that it leads to")
    return _read(status, body, url.hostname or "")


def _body(chunks: Iterator[bytes]) -> bytes:
    body = b""
    for number, chunk in enumerate(chunks, start=1):
        body += chunk
        if len(body) > BODY_LIMIT or number > READS_LIMIT:
            raise _NoData(f"the answer is longer than {BODY_LIMIT} bytes; ask for fewer series")
    return body


def _read(status: int, body: bytes, host: str) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or "status" not in answer:
        raise _NoData(f"{host} answers {status}, and not as Prometheus does")
    if answer["status"] != "success" or status != 200:
        said = f"{answer.get('errorType')}: {answer.get('error')}"
        raise _NoData(f"Prometheus answers {status}: {said[:500]}")
    return answer


def _samples(answer: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Give name and value of every sample of an instant vector or a scalar."""
    data: Any = answer.get("data")
    kind = data.get("resultType") if isinstance(data, dict) else None
    try:
        if kind == "scalar":
            yield "the scalar", _number(data["result"])
        elif kind == "vector":
            for one in data["result"]:
                yield _labels(one["metric"]), _number(one["value"])
        else:
            raise _NoData(f"the query gives a {kind}, and no instant vector or scalar")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise _NoData("the answer has samples that are not as Prometheus writes them") from error


def _number(pair: Sequence[Any]) -> float:
    _, value = pair
    if not isinstance(value, str):
        raise TypeError(value)
    return float(value)


def _labels(metric: Mapping[str, str]) -> str:
    inside = ", ".join(f'{key}="{value}"' for key, value in sorted(metric.items()) if key != "__name__")
    return f"{metric.get('__name__', '')}{{{inside}}}"[:200]


def _beyond(name: str, value: float, params: PrometheusParams) -> str:
    """Say by how much a sample is out of bounds; empty when it is not, or is no number."""
    if params.max is not None and value > params.max:
        return f"{name} is {value:g} > {params.max:g}"
    if params.min is not None and value < params.min:
        return f"{name} is {value:g} < {params.min:g}"
    return ""


def _within(samples: Sequence[tuple[str, float]], params: PrometheusParams) -> str:
    values = [value for _, value in samples]
    low = "" if params.min is None else f"{params.min:g} <= "
    high = "" if params.max is None else f" <= {params.max:g}"
    spread = (
        f"{values[0]:g}"
        if len(values) == 1
        else f"{min(values):g} to {max(values):g} ({len(values)} samples)"
    )
    return f"{low}{spread}{high}"
