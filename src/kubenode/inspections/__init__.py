"""Inspections of a rollout's batches: ours, and all that the author of another needs.

    class Incidents:
        name = "incidents"
        params = IncidentParams

        def inspect(self, request: InspectionRequest[IncidentParams]) -> Answer:
            found = self._desk.open_since(request.since, request.nodes)
            return Fail(text=f"{found[0]} is open") if found else Pass()

An inspection only looks. It is asked about a closed batch, once and once more when the observation is over; what it
answers stands in the set's status. The entry-point group is `kubenode`, the hook `register_inspections`.
"""

from collections.abc import Iterable
from typing import Any

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.hookspecs import Inspector, Settings, hookimpl
from kubenode.core.inspection import Answer, Fail, Inconclusive, InspectionRequest, Pass
from kubenode.inspections.prometheus import PrometheusInspector, PrometheusParams


@hookimpl
def register_inspections() -> Iterable[Inspector[Any]]:
    """Give the inspections that kubenode brings."""
    return (PrometheusInspector(),)


__all__ = [
    "Answer", "Fail", "Inconclusive", "InspectionRequest", "Inspector", "InvalidObjectError", "Pass", "Problem",
    "PrometheusInspector", "PrometheusParams", "Settings", "hookimpl", "register_inspections",
]  # fmt: skip
