"""The inspection `prometheus` against a server that answers as Prometheus does, and against some that do not."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.errors import InvalidObjectError
from kubenode.inspections import (
    Answer,
    Fail,
    Inconclusive,
    InspectionRequest,
    Pass,
    PrometheusInspector,
    PrometheusParams,
    conformance,
)
from kubenode.inspections.prometheus import BODY_LIMIT
from kubenode.runtime.plugins import structured
from tests.inspections.prometheus_server import Reply, failure, nobody, raw, scalar, serving, success, vector

CLOSED = datetime(2026, 3, 2, 9, tzinfo=UTC)
INSPECTOR = PrometheusInspector()
N1, N2 = {"__name__": "errors", "node": "n1"}, {"__name__": "errors", "node": "n2"}


def request(params: PrometheusParams, **changes: Any) -> InspectionRequest[PrometheusParams]:
    """Give a question about two machines."""
    return InspectionRequest(**{
        "id": "x", "name": "errors", "params": params, "set": "kubelet", "component": "kubelet-2", "revision": 7,
        "batch": 3, "machines": ("m1", "m2"), "nodes": ("ip-10.zone.a", "n2"), "opened_at": CLOSED - timedelta(minutes=5),
        "since": CLOSED, "now": CLOSED, **changes,
    })  # fmt: skip


def answered(reply: Reply, query: str = "errors", **params: Any) -> Answer:
    """Ask a server that gives one reply."""
    with serving(lambda _: reply) as (url, _):
        asked = PrometheusParams(url=url, query=query, **(params or {"max": 1}))
        return INSPECTOR.inspect(request(asked))


# What is a pass, and what a failure.


@pytest.mark.parametrize(
    ("reply", "params", "expected"),
    [
        (vector((N1, "0.5")), {"max": 1}, Pass(text="0.5 <= 1")),
        (vector((N1, "1")), {"max": 1}, Pass(text="1 <= 1")),
        (vector((N1, "1.0000001")), {"max": 1}, Fail(text='errors{node="n1"} is 1 > 1')),
        (vector((N1, "0.5"), (N2, "2")), {"max": 1}, Fail(text='errors{node="n2"} is 2 > 1')),
        (vector((N1, "0.5"), (N2, "0.25")), {"max": 1}, Pass(text="0.25 to 0.5 (2 samples) <= 1")),
        (vector((N1, "0.9")), {"min": 0.95}, Fail(text='errors{node="n1"} is 0.9 < 0.95')),
        (vector((N1, "0.95")), {"min": 0.95}, Pass(text="0.95 <= 0.95")),
        (vector((N1, "3")), {"min": 2, "max": 4}, Pass(text="2 <= 3 <= 4")),
        (vector((N1, "+Inf")), {"max": 1}, Fail(text='errors{node="n1"} is inf > 1')),
        (vector((N1, "-Inf")), {"max": 1}, Pass(text="-inf <= 1")),
        (vector((N1, "-Inf")), {"min": 0}, Fail(text='errors{node="n1"} is -inf < 0')),
        (vector((N1, "1e400")), {"max": 1}, Fail(text='errors{node="n1"} is inf > 1')),
        (vector(({}, "2")), {"max": 1}, Fail(text="{} is 2 > 1")),
        (scalar("1"), {"max": 1}, Pass(text="1 <= 1")),
        (scalar("3"), {"max": 1}, Fail(text="the scalar is 3 > 1")),
        (vector(*[({"n": str(n)}, "2") for n in range(5)]), {"max": 1}, Fail(text='{n="0"} is 2 > 1, {n="1"} is 2 > 1, {n="2"} is 2 > 1 and 2 more')),
        (vector((N1, "1"), infos=["metric might not be a counter"]), {"max": 1}, Pass(text="1 <= 1")),
        (vector((N1, "1"), warnings=["one store did not answer"]), {"max": 1, "partial": True}, Pass(text="1 <= 1")),
        # A failure is one, whatever else is wrong.
        (vector((N1, "NaN"), (N2, "2")), {"max": 1}, Fail(text='errors{node="n2"} is 2 > 1')),
        (vector((N1, "2"), warnings=["one store did not answer"]), {"max": 1}, Fail(text='errors{node="n1"} is 2 > 1')),
    ],
)  # fmt: skip
def test_every_sample_has_to_be_within_the_bounds(reply: Reply, params: Any, expected: Answer) -> None:
    """The bound itself is well."""
    assert answered(reply, **params) == expected


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (vector(), "the query gives no sample"),
        (vector((N1, "NaN")), 'errors{node="n1"} is NaN'),
        (vector((N1, "0.5"), (N2, "NaN")), 'errors{node="n2"} is NaN'),
        (scalar("NaN"), "the scalar is NaN"),
        (vector((N1, "1"), warnings=["one store did not answer"]), "Prometheus warns: ['one store did not answer']"),
        (failure(400, "bad_data", "parse error at char 3"), "Prometheus answers 400: bad_data: parse error at char 3"),
        (failure(422, "execution", "many-to-many"), "Prometheus answers 422: execution: many-to-many"),
        (failure(503, "timeout", "query timed out"), "Prometheus answers 503: timeout: query timed out"),
        (success("matrix", []), "the query gives a matrix, and no instant vector or scalar"),
        (success("string", [1, "1"]), "the query gives a string, and no instant vector or scalar"),
        (Reply(body=b'{"status":"success"}'), "the query gives a None"),
        (Reply(body=b'{"status":"success","data":[]}'), "the query gives a None"),
        (Reply(code=500, body=vector((N1, "1")).body), "Prometheus answers 500"),
        (Reply(body=b"<html>log in</html>"), "127.0.0.1 answers 200, and not as Prometheus does"),
        (Reply(body=b"[]"), "127.0.0.1 answers 200, and not as Prometheus does"),
        (Reply(body=b"\xff\xfe"), "127.0.0.1 answers 200, and not as Prometheus does"),
        (Reply(body=b"[" * 100_000), "127.0.0.1 answers 200, and not as Prometheus does"),
        (Reply(body=b""), "127.0.0.1 answers 200, and not as Prometheus does"),
        (Reply(code=404, body=b"404 page not found"), "127.0.0.1 answers 404, and not as Prometheus does"),
        (Reply(code=302, headers={"Location": "file:///etc/passwd"}), "127.0.0.1 answers with a redirect (302); write the URL that it leads to"),
        (Reply(code=307, headers={"Location": "http://127.0.0.1:1/"}), "redirect (307)"),
        (success("vector", [{"metric": {}, "value": [1, 2]}]), "samples that are not as Prometheus writes them"),
        (success("vector", [{"metric": {}, "value": [1, "two"]}]), "samples that are not"),
        (success("vector", [{"metric": {}, "value": ["1"]}]), "samples that are not"),
        (success("vector", [{"metric": [], "value": [1, "1"]}]), "samples that are not"),
        (success("vector", [{"value": [1, "1"]}]), "samples that are not"),
        (success("vector", [1]), "samples that are not"),
        (success("vector", None), "samples that are not"),
        (success("scalar", "1"), "samples that are not"),
        (Reply(body=b'{"status":"success","x":"' + b"x" * BODY_LIMIT + b'"}'), "longer than 1048576 bytes"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_no_number_is_inconclusive(reply: Reply, words: str) -> None:
    """Never a pass, and never a failure."""
    answer = answered(reply)
    assert isinstance(answer, Inconclusive)
    assert words in answer.text


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{", b"SSH-2.0-x\r\n", b"\x00" * 9]
)
def test_a_server_that_speaks_something_else_is_inconclusive(answer: bytes) -> None:
    """Or that ends in the middle."""
    with raw(answer) as url:
        found = INSPECTOR.inspect(request(PrometheusParams(url=url, query="x", max=1)))
    assert isinstance(found, Inconclusive)
    assert found.text.startswith("127.0.0.1 ")


def test_a_server_that_is_not_there_is_inconclusive() -> None:
    """It says who, and why."""
    with nobody() as url:
        answer = INSPECTOR.inspect(request(PrometheusParams(url=url, query="x", max=1)))
    assert isinstance(answer, Inconclusive)
    assert answer.text.startswith("127.0.0.1 cannot be asked: ConnectionRefusedError: ")
    https = INSPECTOR.inspect(request(PrometheusParams(url=url.replace("http", "https"), query="x", max=1)))
    assert isinstance(https, Inconclusive)


@given(st.binary(max_size=200))
def test_no_body_passes_by_chance_or_raises(body: bytes) -> None:
    """Whatever is answered."""
    from kubenode.inspections.prometheus import _NoData, _read, _samples

    try:
        found = tuple(_samples(_read(200, body, "p")))
    except _NoData:
        return
    assert found == ()


# What is asked.


def test_the_query_is_posted_with_the_names_of_the_batch() -> None:
    """As a regular expression in which a dot is a dot; below the prefix of the URL; to no proxy."""
    query = 'errors{node=~"${nodes}",m=~"$machines",v="${component}"} / ${revision} ^ ${batch} # ${set} $$'
    with serving(lambda _: scalar("1")) as (url, asked):
        INSPECTOR.inspect(request(PrometheusParams(url=url + "/prefix/", query=query, max=1)))
    (one,) = asked
    assert (one.method, one.path) == ("POST", "/prefix/api/v1/query")
    assert one.query == 'errors{node=~"ip-10[.]zone[.]a|n2",m=~"m1|m2",v="kubelet-2"} / 7 ^ 3 # kubelet $'
    assert one.headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked depends on nothing but the parameters."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert answered(scalar("1")) == Pass(text="1 <= 1")


@pytest.mark.parametrize("variable", ["nodes", "machines"])
def test_a_batch_without_an_updated_machine_is_inconclusive_where_its_names_are_asked_for(variable: str) -> None:  # fmt: skip
    """An empty alternative would match every series without the label."""
    with serving(lambda _: scalar("1")) as (url, asked):
        params = PrometheusParams(url=url, query=f'x{{y=~"${variable}"}}', max=1)
        answer = INSPECTOR.inspect(request(params, machines=(), nodes=()))
    assert answer == Inconclusive(text=f"no updated machine of batch 3 for ${{{variable}}}")
    assert asked == []


def test_a_name_that_is_none_is_not_put_into_a_query() -> None:
    """Nobody writes PromQL by the name of a node."""
    params = PrometheusParams(url="http://p", query='x{y=~"$nodes"}', max=1)
    answer = INSPECTOR.inspect(request(params, nodes=('n1"} or up{x="',)))
    assert isinstance(answer, Inconclusive)
    assert "is no name that can stand in a query" in answer.text


# Parameters.


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"url": "ftp://p", "query": "x", "max": 1}, "url: 'ftp://p' is not a URL such as http://prometheus:9090"),
        ({"url": "file:///etc/passwd", "query": "x", "max": 1}, "is not a URL"),
        ({"url": "http://", "query": "x", "max": 1}, "is not a URL"),
        ({"url": "p:9090", "query": "x", "max": 1}, "is not a URL"),
        ({"url": "http://p:99999", "query": "x", "max": 1}, "is not a URL"),
        ({"url": "http://p:0", "query": "x", "max": 1}, "is not a URL"),
        ({"url": "http://[::1", "query": "x", "max": 1}, "is not a URL"),
        ({"url": "http://p /\r\nX: y", "query": "x", "max": 1}, "is not a URL"),
        ({"url": "http://pé", "query": "x", "max": 1}, "is not a URL"),
        ({"url": "http://me:secret@p", "query": "x", "max": 1}, "leave out user, query and fragment"),
        ({"url": "http://p?x=1", "query": "x", "max": 1}, "leave out user, query and fragment"),
        ({"url": "http://p#x", "query": "x", "max": 1}, "leave out user, query and fragment"),
        ({"url": "http://p", "query": " ", "max": 1}, "query: is empty"),
        ({"url": "http://p", "query": "x$", "max": 1}, "has a $ that begins no variable"),
        ({"url": "http://p", "query": "$node", "max": 1}, "${node} is no variable; known: batch, component"),
        ({"url": "http://p", "query": "x"}, "give at least one"),
        ({"url": "http://p", "query": "x", "max": 1, "min": 2}, "min: 2 is above max 1"),
        ({"url": "http://p", "query": "x", "max": float("nan")}, "must be a number, not NaN or infinity @ $.max"),
        ({"url": "http://p", "query": "x", "min": float("-inf")}, "must be a number, not NaN or infinity @ $.min"),
        ({"url": "http://p", "max": 1}, "required field missing @ $.query"),
        ({"url": "http://p", "query": "x", "max": "much"}, "must be a number, not text @ $.max"),
        ({"url": "http://p", "query": "x", "max": 1, "maximum": 2}, "maximum"),
    ],
)  # fmt: skip
def test_wrong_parameters_are_named(params: Any, words: str) -> None:
    """By the engine, before anything is asked."""
    with pytest.raises(InvalidObjectError) as caught:
        structured(params, PrometheusParams, "parameters")
    assert words in str(caught.value)


# The laws.


@pytest.fixture(scope="module", autouse=True)
def servers() -> Iterator[None]:
    """Serve each world of the kit."""
    with ExitStack() as stack:
        URLS[conformance.World.WELL] = stack.enter_context(serving(lambda _: vector((N1, "0"))))[0]
        URLS[conformance.World.ILL] = stack.enter_context(serving(lambda _: vector((N1, "9"))))[0]
        URLS[conformance.World.BLIND] = stack.enter_context(serving(lambda _: vector()))[0]
        URLS["gone"] = stack.enter_context(nobody())
        yield


URLS: dict[Any, str] = {}


def make(world: conformance.World) -> tuple[PrometheusInspector, PrometheusParams]:
    """Ask the server of that world."""
    return INSPECTOR, PrometheusParams(url=URLS[world], query='errors{node=~"$nodes"}', max=1)


def make_gone(world: conformance.World) -> tuple[PrometheusInspector, PrometheusParams]:
    """Ask nobody, where nothing can be seen."""
    return make(world) if world is not conformance.World.BLIND else (
        INSPECTOR, PrometheusParams(url=URLS["gone"], query="errors", max=1)
    )  # fmt: skip


test_laws = conformance.inspection(make)
test_laws_without_a_server = conformance.inspection(make_gone)
