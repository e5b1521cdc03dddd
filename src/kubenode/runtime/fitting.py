"""What the plugins installed here say of objects that people wrote: whom they name, and the parameters they give.

A server takes parameters of any form, and so does core, which knows no plugin; here they meet the class that reads them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.host.variables import filled
from kubenode.core.model import (
    Infrastructure,
    Machine,
    MachineComponent,
    MachineComponentSet,
    MachineSet,
    NodeRemedier,
    Object,
)
from kubenode.core.reading import near
from kubenode.runtime.parameters import structured
from kubenode.runtime.plugins import Plugins

_MADE_IN = "zone"
"""The parameter that a MachineSet adds for each of its failure domains."""
_NOBODY: Mapping[str, str] = {}


@attrs.frozen
class _Named:
    """A driver that an object names.

    Attributes:
        where: path of the name.
        below: path of the parameters.
        what: it is, for people.
        known: those of its kind, by name.
    """

    where: str
    below: str
    what: str
    name: str
    parameters: Mapping[str, Any]
    known: Mapping[str, Any]


def misfits(obj: Object, plugins: Plugins) -> Iterator[Problem]:
    """Say which parameters are not what a plugin reads; each with its path."""
    for one in _named(obj, plugins):
        driver = one.known.get(one.name)
        if driver is None:
            continue
        try:
            structured(one.parameters, driver.params, one.below)
        except InvalidObjectError as error:
            yield from (_at_its_path(problem, one) for problem in error.problems)


def strangers(obj: Object, plugins: Plugins) -> Iterator[Problem]:
    """Say which drivers no plugin here brings: perhaps one does where the object is going."""
    for one in _named(obj, plugins):
        if one.name not in one.known:
            what = f"no plugin that is installed here brings the {one.what} {one.name!r}"
            yield Problem(
                where=one.where, what=what, fix=f"{near(one.name, one.known)}; see kubenode plugins"
            )


def _at_its_path(problem: Problem, one: _Named) -> Problem:
    what, _, path = problem.what.rpartition(" @ $")
    fix = f"see the parameters of the {one.what} {one.name}"
    return Problem(where=one.below + path, what=what, fix=fix) if what else attrs.evolve(problem, fix=fix)


def _named(obj: Object, plugins: Plugins) -> Iterator[_Named]:
    match obj:
        case MachineComponent():
            spec = obj.spec
            # What a machine is to fill in is judged there, with its values in place.
            if not isinstance(filled(spec.parameters, _NOBODY, "spec.parameters"), Problem):
                yield _Named("spec.driver", "spec.parameters", "component driver", spec.driver, spec.parameters, plugins.components)  # fmt: skip
        case NodeRemedier():
            for index, rung in enumerate(obj.spec.ladder):
                at = f"spec.ladder[{index}]"
                yield _Named(f"{at}.action", f"{at}.parameters", "remedy", rung.action, rung.parameters, plugins.remedies)  # fmt: skip
        case MachineComponentSet():
            for index, hook in enumerate(obj.spec.rollout.inspection.hooks):
                at = f"spec.rollout.inspection.hooks[{index}]"
                yield _Named(f"{at}.inspector", f"{at}.parameters", "inspection", hook.inspector, hook.parameters, plugins.inspections)  # fmt: skip
        case Machine():
            if obj.spec.infrastructure is not None:
                yield _made(obj.spec.infrastructure, "spec.infrastructure", plugins, ())
        case MachineSet():
            template, domains = obj.spec.template, obj.spec.failure_domains
            yield _made(template.spec.infrastructure, "spec.template.spec.infrastructure", plugins, domains)
        case _:
            return


def _made(wanted: Infrastructure, at: str, plugins: Plugins, domains: tuple[str, ...]) -> _Named:
    zone = {_MADE_IN: domains[0]} if domains else {}
    return _Named(
        f"{at}.provider", f"{at}.parameters", "provider", wanted.provider, {**wanted.parameters, **zone}, plugins.providers
    )  # fmt: skip
