"""What engines count, as Prometheus reads it. Needs the extra `metrics`; registers itself nowhere."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from kubenode.runtime.embed.engine import Engine
    from kubenode.runtime.embed.figures import Figures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class EngineCollector(Collector):
    """The numbers of some engines, one series each: register one collector with all of them."""

    def __init__(self, engines: "Sequence[Engine]") -> None:
        self._engines = tuple(engines)

    def describe(self) -> Iterator[Metric]:
        """Give the families without numbers, so that registering asks no engine."""
        return iter(_families())

    def collect(self) -> Iterator[Metric]:
        """Read the engines."""
        families = _families()
        for engine in self._engines:
            figures = engine.figures()
            for family, add in zip(families, _ADD, strict=True):
                add(family, engine.identity, figures)
        return iter(families)


def text(engines: "Sequence[Engine]") -> bytes:
    """Give the numbers of some engines in the text format, from a registry of their own."""
    registry = CollectorRegistry()
    registry.register(EngineCollector(engines))
    return generate_latest(registry)


def _families() -> tuple[Metric, ...]:
    return (
        GaugeMetricFamily(
            "kubenode_engine_leads", "1 where the engine may decide: it has the lease, or needs none.", labels=("engine",)
        ),
        GaugeMetricFamily(
            "kubenode_engine_ready", "1 where the engine can do all of its work; /readyz says why not.", labels=("engine",)
        ),
        GaugeMetricFamily(
            "kubenode_engine_keys", "Keys that wait for their turn or time, or are in hand.", labels=("engine",)
        ),
        GaugeMetricFamily("kubenode_engine_calls_in_flight", "Calls under way.", labels=("engine",)),
        GaugeMetricFamily("kubenode_engine_objects", "Objects in the cache.", labels=("engine", "kind")),
        CounterMetricFamily(
            "kubenode_engine_decisions", "Decisions, and whether anything was to be done.",
            labels=("engine", "controller", "acts"),
        ),
        CounterMetricFamily(
            "kubenode_engine_calls", "Calls that ended: ok, or the name of their error.",
            labels=("engine", "controller", "result"),
        ),
        CounterMetricFamily(
            "kubenode_engine_events", "Kubernetes Events: written, limited (too many), dropped (not taken by the server).",
            labels=("engine", "result"),
        ),
        CounterMetricFamily(
            "kubenode_api_requests", "Attempts of requests to the API server; code 0 without an answer.",
            labels=("engine", "method", "code"),
        ),
    )  # fmt: skip


def _leads(family: Metric, engine: str, figures: "Figures") -> None:
    family.add_sample(family.name, {"engine": engine}, float(figures.leads))


def _ready(family: Metric, engine: str, figures: "Figures") -> None:
    family.add_sample(family.name, {"engine": engine}, float(not figures.unready))


def _keys(family: Metric, engine: str, figures: "Figures") -> None:
    family.add_sample(family.name, {"engine": engine}, figures.keys)


def _in_flight(family: Metric, engine: str, figures: "Figures") -> None:
    family.add_sample(family.name, {"engine": engine}, figures.calls_in_flight)


def _objects(family: Metric, engine: str, figures: "Figures") -> None:
    for kind, count in sorted(figures.objects.items()):
        family.add_sample(family.name, {"engine": engine, "kind": kind}, count)


def _decisions(family: Metric, engine: str, figures: "Figures") -> None:
    for (controller, acts), count in sorted(figures.decisions.items()):
        labels = {"engine": engine, "controller": controller, "acts": str(acts).lower()}
        family.add_sample(f"{family.name}_total", labels, count)


def _calls(family: Metric, engine: str, figures: "Figures") -> None:
    for (controller, result), count in sorted(figures.calls.items()):
        labels = {"engine": engine, "controller": controller, "result": result}
        family.add_sample(f"{family.name}_total", labels, count)


def _events(family: Metric, engine: str, figures: "Figures") -> None:
    for result, count in sorted(figures.events.items()):
        family.add_sample(f"{family.name}_total", {"engine": engine, "result": result}, count)


def _requests(family: Metric, engine: str, figures: "Figures") -> None:
    for (method, code), count in sorted(figures.requests.items()):
        labels = {"engine": engine, "method": method, "code": str(code)}
        family.add_sample(f"{family.name}_total", labels, count)


_ADD: tuple[Callable[[Metric, str, "Figures"], None], ...] = (
    _leads, _ready, _keys, _in_flight, _objects, _decisions, _calls, _events, _requests,
)  # fmt: skip
"""How each family gets its samples, in their order."""
