"""The remedy kit passes what is sound, and finds each planted fault with the words that mend it."""

from typing import Any

import attrs
import pytest

from kubenode.core.step import WriteFile
from kubenode.remedies import (
    Case,
    ConfirmEventRemedy,
    Disruption,
    NoParams,
    Reboot,
    RebootInstanceRemedy,
    RebootRemedy,
    ReinstallComponent,
    ReinstallComponentParams,
    ReinstallComponentRemedy,
    RemedyStep,
    ReplaceMachine,
    ReplaceRemedy,
    RestartInstance,
    RestartUnit,
    RestartUnitParams,
    RestartUnitRemedy,
    Step,
    conformance,
)
from kubenode.remedies.reinstall_component import DRAINED_FIRST
from tests.third_party.kit import broken
from tests.third_party.kubenode_gpu.kubenode_gpu import GpuParams, GpuReset

RESTART = RestartUnit(unit="kubelet.service")

test_restart_unit = conformance.remedy(
    RestartUnitRemedy(), params=RestartUnitParams(unit="containerd.service")
)
test_reboot = conformance.remedy(RebootRemedy(), params=NoParams())
test_reboot_instance = conformance.remedy(RebootInstanceRemedy(), params=NoParams())
test_confirm_event = conformance.remedy(ConfirmEventRemedy(), params=NoParams())
test_replace = conformance.remedy(ReplaceRemedy(), params=NoParams())
test_reinstall = conformance.remedy(
    ReinstallComponentRemedy(), params=ReinstallComponentParams(component="kubelet")
)
test_drain_and_reinstall = conformance.remedy(
    DRAINED_FIRST, params=ReinstallComponentParams(component="kubelet")
)
test_gpu = conformance.remedy(GpuReset(), params=GpuParams(gpu=0))


@attrs.define
class Params:
    """Parameters that can be changed, which they should not be."""

    words: list[str] = attrs.field(factory=list)


class Sound:
    """A sound remedy, for its faults to derive from."""

    name = "sound"
    params: Any = Params
    disruption: Any = Disruption.RESTART

    def plan(self, case: Case[Params], /) -> Any:
        """Give one step."""
        return (RESTART,)


test_sound = conformance.remedy(Sound(), params=Params())


class BadName(Sound):
    """Its name cannot stand in an object."""

    name = "My.Remedy"


class NoClass(Sound):
    """Its parameters are a dict."""

    params = dict


class OtherClass(Sound):
    """The kit is given parameters of another class."""

    params = NoParams


class Text(Sound):
    """Says its disruption as text."""

    disruption = "restart"


class Async(Sound):
    """Its plan is a coroutine."""

    async def plan(self, case: Case[Params], /) -> Any:
        """Do nothing."""


class Lazy(Sound):
    """Its plan is a generator."""

    def plan(self, case: Case[Params], /) -> Any:
        """Give a step, in time."""
        yield RESTART


class Remembers(Sound):
    """Gives something else the second time."""

    def __init__(self) -> None:
        self.asked = 0

    def plan(self, case: Case[Params], /) -> tuple[Step, ...]:
        """Count."""
        self.asked += 1
        return (RESTART,) * self.asked


class Writes(Sound):
    """Changes its parameters."""

    def plan(self, case: Case[Params], /) -> tuple[Step, ...]:
        """Leave a note to itself."""
        case.params.words.append("x")
        return (RESTART,)


class Listing(Sound):
    """Gives a list."""

    def plan(self, case: Case[Params], /) -> list[Step]:
        """Give one step in a list."""
        return [RESTART]


class GivesUp(Sound):
    """Has no step for a third attempt."""

    def plan(self, case: Case[Params], /) -> tuple[Step, ...]:
        """Give up."""
        return (RESTART,) if case.attempt < 3 else ()


class Installs(Sound):
    """Does what belongs to a component."""

    def plan(self, case: Case[Params], /) -> tuple[Step, ...]:
        """Write a file."""
        return (WriteFile(path="/etc/x", content=b"", then=None),)


class Shell(Sound):
    """Hopes for a shell."""

    def plan(self, case: Case[Params], /) -> tuple[Step, ...]:
        """Name two things at once."""
        return (RestartUnit(unit="kubelet.service; reboot"),)


class EarlyReboot(Sound):
    """Reboots before the rest."""

    disruption = Disruption.REBOOT

    def plan(self, case: Case[Params], /) -> tuple[Step, ...]:
        """Reboot first."""
        return (Reboot(), RESTART)


class Mixes(Sound):
    """Asks the agent and the provider at once."""

    disruption = Disruption.REBOOT

    def plan(self, case: Case[Params], /) -> tuple[RemedyStep, ...]:
        """Give the provider's step beside another."""
        return (RESTART, RestartInstance())


class Outside(Sound):
    """Lets the provider restart the instance on a permit to drain."""

    disruption = Disruption.DRAIN

    def plan(self, case: Case[Params], /) -> tuple[RemedyStep, ...]:
        """Restart it from outside."""
        return (RestartInstance(),)


class Ends(Sound):
    """Replaces the machine on a permit to restart a unit."""

    def plan(self, case: Case[Params], /) -> tuple[RemedyStep, ...]:
        """End it."""
        return (ReplaceMachine(),)


class Nameless(Sound):
    """Puts down what can be no component."""

    def plan(self, case: Case[Params], /) -> tuple[RemedyStep, ...]:
        """Name a path."""
        return (ReinstallComponent(component="/usr/bin/kubelet"),)


class Drains(Sound):
    """Reboots on a permit to drain."""

    name = "gpu-reset"
    disruption = Disruption.DRAIN

    def plan(self, case: Case[Params], /) -> tuple[Step, ...]:
        """Reboot."""
        return (Reboot(),)


class Harmless(Sound):
    """Restarts on no permit."""

    disruption = Disruption.NONE


@pytest.mark.parametrize(
    ("fault", "law", "words"),
    [
        (BadName, "name-params-and-plain-functions", "BadName.name is 'My.Remedy'; write lower-case letters"),
        (NoClass, "name-params-and-plain-functions", "NoClass.params is <class 'dict'>; set it to the class of the parameters, made with @attrs.frozen"),
        (OtherClass, "name-params-and-plain-functions", "OtherClass.params is NoParams, but the kit was given a Params"),
        (Text, "name-params-and-plain-functions", "sound says disruption='restart'; say one of Disruption"),
        (Async, "name-params-and-plain-functions", "Async.plan is async; write a plain def"),
        (Lazy, "name-params-and-plain-functions", "Lazy.plan is a generator; return its answer"),
        (Remembers, "plan-is-pure", "for the same case; keep no state"),
        (Writes, "plan-is-pure", "plan() changed the case it was given"),
        (Listing, "plan-gives-steps", "plan() returned a list; return a tuple of steps"),
        (GivesUp, "plan-gives-steps", "plan() gave no step at attempt 3"),
        (Installs, "an-operation-can-carry-the-steps", "an operation cannot carry WriteFile; RestartUnit, ReinstallComponent or Reboot"),
        (Nameless, "an-operation-can-carry-the-steps", "'/usr/bin/kubelet' is not the name of an entry"),
        (Ends, "disruption-covers-the-steps", "sound reboots but says disruption=restart; say Disruption.REBOOT"),
        (Shell, "an-operation-can-carry-the-steps", "'kubelet.service; reboot' is not the name of a unit"),
        (EarlyReboot, "an-operation-can-carry-the-steps", "RestartUnit follows a Reboot, so it would never run; reboot last"),
        (Mixes, "an-operation-can-carry-the-steps", "an operation cannot carry RestartInstance"),
        (Outside, "disruption-covers-the-steps", "sound reboots but says disruption=drain; say Disruption.REBOOT"),
        (Drains, "disruption-covers-the-steps", "gpu-reset reboots but says disruption=drain; say Disruption.REBOOT"),
        (Harmless, "disruption-covers-the-steps", "sound restarts a unit but says disruption=none; say Disruption.RESTART"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found(fault: type[Sound], law: str, words: str) -> None:
    """One law is broken, and its text says by what and what to write."""
    kit = conformance.remedy(fault(), params=Params())
    assert words in broken(kit, law)
