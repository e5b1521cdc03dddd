"""An inspection: no grave incident is open about a node that was just updated."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from typing import Any

import attrs

from kubenode.inspections import (
    Answer,
    Fail,
    Inconclusive,
    InspectionRequest,
    Inspector,
    Pass,
    Settings,
    hookimpl,
)


@attrs.frozen(kw_only=True)
class IncidentParams:
    """What a hook's `parameters` say."""

    gravest: int = 2
    """Incidents from this grade on, 1 being the gravest, stop a rollout."""


@attrs.frozen(kw_only=True)
class IncidentSettings:
    """What the operator wrote in the table `[incidents]` of kubenode.toml."""

    address: str


@attrs.frozen(kw_only=True)
class Incident:
    """One open incident."""

    title: str
    node: str
    grade: int


Desk = Callable[[datetime], Sequence[Incident]]


@attrs.frozen
class Incidents:
    """Fails when somebody opened an incident about an updated node since its batch opened."""

    desk: Desk
    name = "incidents"
    params = IncidentParams

    def inspect(self, request: InspectionRequest[IncidentParams], /) -> Answer:
        """Ask the desk once."""
        try:
            found = self.desk(request.opened_at)
        except (OSError, HTTPException, ValueError) as error:
            return Inconclusive(text=f"the desk does not answer: {type(error).__name__}")
        nodes = frozenset(request.nodes)
        ours = [one for one in found if one.node in nodes and one.grade <= request.params.gravest]
        if ours:
            return Fail(text=f"{ours[0].title!r} is open about {ours[0].node}")
        return Pass(text=f"none of {len(found)} open incidents is about them")


def http_desk(address: str) -> Desk:
    """Give a desk that is asked over HTTP, with a limit on the time and on what is read."""

    def ask(since: datetime) -> Sequence[Incident]:
        connection = HTTPConnection(address, timeout=10)
        try:
            connection.request("GET", f"/incidents?since={since:%Y-%m-%dT%H:%M:%SZ}")
            body = connection.getresponse().read(1_000_000)
        finally:
            connection.close()
        return [
            Incident(title=str(one["title"]), node=str(one["node"]), grade=int(one["grade"]))
            for one in json.loads(body)
        ]

    return ask


@hookimpl
def register_inspections(settings: Settings) -> Iterable[Inspector[Any]]:
    """Register the inspection of the desk that the operator has."""
    return [Incidents(http_desk(settings.of("incidents", IncidentSettings).address))]
