"""How the hooks of rollouts are asked. In place here; with threads and a time limit in `runtime/embed`."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeAlias

import attrs

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.hookspecs import Inspector
from kubenode.core.inspection import (
    Answer,
    Fail,
    Inconclusive,
    Inspected,
    InspectionRequest,
    Pass,
)
from kubenode.core.model import InspectionHook, Now
from kubenode.runtime.parameters import structured
from kubenode.runtime.plugins import Plugins

TEXT_LIMIT: Final = 1024
"""Most characters of an answer that are taken."""


@attrs.frozen(kw_only=True)
class Inquiry:
    """One question that is to be asked of an inspector, with its time limit."""

    inspector: Inspector[Any]
    request: InspectionRequest[Any]
    within: timedelta


Inspections: TypeAlias = Callable[[str, Sequence[Inquiry], Now], Mapping[str, Inspected]]
"""Gives by the name of a hook what is known of the open questions of a set, named first; none forgets them all."""


def in_place(key: str, inquiries: Sequence[Inquiry], now: Now) -> Mapping[str, Inspected]:
    """Ask at once and wait for each answer: for the simulator."""
    return {one.request.name: answer(one) for one in inquiries}


def answer(inquiry: Inquiry) -> Answer:
    """Ask one inspector; what is no answer is Inconclusive."""
    name = inquiry.inspector.name
    try:
        given: object = inquiry.inspector.inspect(inquiry.request)
    except Exception as error:
        return Inconclusive(text=_clean(f"{name} raised {type(error).__name__}: {error}"))
    if isinstance(given, Pass | Fail | Inconclusive):
        return attrs.evolve(given, text=_clean(given.text))
    kind = given.__name__ if isinstance(given, type) else type(given).__name__
    return Inconclusive(
        text=f"{name} answered with {kind}, which is no Pass(), Fail(...) or Inconclusive(...)"
    )


def _clean(text: str) -> str:
    """Give a text that any JSON can hold: what is no Unicode is replaced, and what is long is cut."""
    return text[:TEXT_LIMIT].encode(errors="replace").decode()


def understood(plugins: Plugins, hook: InspectionHook) -> tuple[Inspector[Any], Any] | Problem:
    """Give the inspector of a hook and its parameters, or why it can never be asked."""
    where = f"inspector {hook.inspector}"
    inspector = plugins.inspections.get(hook.inspector)
    if inspector is None:
        known = ", ".join(sorted(plugins.inspections)) or "none"
        what = f"PluginMissing: no plugin brings the inspection {hook.inspector!r}"
        return Problem(where=where, what=what, fix=f"known: {known}")
    try:
        return inspector, structured(hook.parameters, inspector.params, "parameters")
    except InvalidObjectError as error:
        said = "; ".join(f"{problem.where}: {problem.what}" for problem in error.problems)
        return Problem(where=where, what=f"ParametersInvalid: {said}")
