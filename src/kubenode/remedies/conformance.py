"""The conformance kit of remedies: a pytest test with a case for every law.

test_gpu = conformance.remedy(GpuReset(), params=GpuParams(gpu=0))
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar

import attrs

from kubenode.core.errors import Problem, refusal
from kubenode.core.hookspecs import Case, RemedyAction
from kubenode.core.host.plan import operation_steps
from kubenode.core.law import BrokenLaw, Law, check_driver, check_functions, law_test
from kubenode.core.model.component import Disruption
from kubenode.core.step import ProviderStep, Reboot

__all__ = ["BrokenLaw", "remedy"]

P = TypeVar("P")

ATTEMPTS = 3
MILDEST_FIRST = tuple(Disruption)


@attrs.frozen(kw_only=True)
class _Kit(Generic[P]):
    """What the author gave."""

    action: RemedyAction[P]
    params: P

    def cases(self) -> Iterator[Case[P]]:
        """Give the attempts of one episode."""
        for attempt in range(1, ATTEMPTS + 1):
            yield Case(
                machine="m7", node="node-7", condition="KernelDeadlock", params=self.params, attempt=attempt
            )


def _check_names(kit: _Kit[Any]) -> None:
    check_driver(kit.action, kit.params)
    check_functions(kit.action, ("plan",))
    said = kit.action.disruption
    if not isinstance(said, Disruption):
        raise BrokenLaw(f"{kit.action.name} says disruption={said!r}; say one of Disruption")


def _check_pure(kit: _Kit[Any]) -> None:
    for case in kit.cases():
        before = copy.deepcopy(case)
        first = copy.deepcopy(kit.action.plan(case))
        if case != before:
            raise BrokenLaw("plan() changed the case it was given; make a new value")
        second = kit.action.plan(before)
        if first != second:
            raise BrokenLaw(
                f"plan() gave {first!r}, then {second!r} for the same case; keep no state and read no clock"
            )


def _check_steps(kit: _Kit[Any]) -> None:
    for case in kit.cases():
        steps: object = kit.action.plan(case)
        if not isinstance(steps, tuple):
            raise BrokenLaw(f"plan() returned a {type(steps).__name__}; return a tuple of steps")
        if not steps:
            raise BrokenLaw(
                f"plan() gave no step at attempt {case.attempt}; give at least one, or the rung does nothing"
            )


def _check_carried(kit: _Kit[Any]) -> None:
    for case in kit.cases():
        steps = kit.action.plan(case)
        alone = len(steps) == 1 and isinstance(steps[0], ProviderStep)
        carried = steps if alone else operation_steps(steps)
        if isinstance(carried, Problem):
            raise BrokenLaw(f"plan() gave what an operation cannot carry: {refusal(carried)[1]}")


def _check_disruption(kit: _Kit[Any]) -> None:
    name, said = kit.action.name, kit.action.disruption
    for case in kit.cases():
        for step in kit.action.plan(case):
            ends = isinstance(step, Reboot | ProviderStep)  # whatever runs there
            does = Disruption.REBOOT if ends else Disruption.RESTART
            if MILDEST_FIRST.index(said) < MILDEST_FIRST.index(does):
                verb = "reboots" if ends else "restarts a unit"
                raise BrokenLaw(
                    f"{name} {verb} but says disruption={said.value}; say Disruption.{does.name}, "
                    "or its permit is for less than it does"
                )


Check: TypeAlias = Callable[[_Kit[Any]], None]
LAWS: Mapping[str, Check] = MappingProxyType({
    "name-params-and-plain-functions": _check_names,
    "plan-is-pure": _check_pure,
    "plan-gives-steps": _check_steps,
    "an-operation-can-carry-the-steps": _check_carried,
    "disruption-covers-the-steps": _check_disruption,
})  # fmt: skip


def remedy(action: RemedyAction[P], *, params: P) -> Callable[..., None]:
    """Give a pytest test with a case for every law of a remedy.

    Args:
        action: the remedy.
        params: parameters of a rung.

    Raises:
        ImportError: pytest is not installed.
    """
    kit = _Kit(action=action, params=params)
    return law_test(Law(name=name, check=partial(check, kit)) for name, check in LAWS.items())
