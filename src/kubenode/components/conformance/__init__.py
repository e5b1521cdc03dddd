"""The conformance kit of component drivers: a pytest test with a case for every law.

    test_chrony = conformance.component(Chrony(), want=Desired(version="4.5", params=ChronyParams(text="...")))

A driver is pure, so its laws need no root and no container: its steps are done on a `FakeHost`, and what
they set there is then changed and lost, and the steps are cut short.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from kubenode.components.conformance import laws
from kubenode.components.conformance.host import FakeHost
from kubenode.components.conformance.kit import Kit
from kubenode.core.hookspecs import ComponentDriver, Desired
from kubenode.core.law import BrokenLaw, Law, law_test

__all__ = ["BrokenLaw", "FakeHost", "component"]

P = TypeVar("P")
Check: TypeAlias = Callable[[Kit[Any]], None]

LAWS: Mapping[str, Check] = MappingProxyType({
    "name-params-and-plain-functions": laws.check_names,
    "probes-judge-and-plan-are-pure": laws.check_pure,
    "judge-reads-what-probes-ask": laws.check_judge,
    "steps-name-one-thing-each": laws.check_words,
    "plan-is-empty-after-its-own-steps": laws.check_own_steps,
    "plan-repairs-what-was-changed": laws.check_repairs,
    "plan-finishes-what-was-interrupted": laws.check_interrupted,
    "restart-is-in-then": laws.check_then,
    "absent-removes": laws.check_absent,
    "other-changes-to-want-and-back": laws.check_change,
})  # fmt: skip


def component(
    driver: ComponentDriver[P], *, want: Desired[P], other: Desired[P] | None = None
) -> Callable[..., None]:
    """Give a pytest test with a case for every law of a component driver.

    Args:
        driver: the driver.
        want: what the component should be, running; the kit itself tries it stopped and absent.
        other: another version or other parameters, to change from.

    Raises:
        ImportError: pytest is not installed.
    """
    kit = Kit(driver=driver, want=want, other=other)
    left_out: dict[Check, str] = {laws.check_change: "no other="} if other is None else {}
    return law_test(
        Law(name=name, check=partial(check, kit), why_not=left_out.get(check, ""))
        for name, check in LAWS.items()
    )
