"""Scenario: a small cluster and what goes wrong in it, as a value whose repr is a program.

A scenario has no policy: the same one is played under many. Times are seconds after every machine is
Running, so that a story begins at zero.
"""

import difflib
import random
from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType

import attrs

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.runtime.sim.host import Heals, SimHost
from kubenode.runtime.sim.stories.hung import kernel_lines

HUNG, FALSE_ALARM, USELESS = "hung-task", "false-positive", "reboot-useless"
SILENT, OUTAGE = "silent", "zone-outage"
FAULTS: Mapping[str, str] = MappingProxyType({
    HUNG: "hung task, condition KernelDeadlock",
    FALSE_ALARM: "condition KernelDeadlock, but nothing is wrong",
    USELESS: "hung task that no reboot frees, condition KernelDeadlock",
    SILENT: "node silent",
    OUTAGE: "zone silent",
})  # fmt: skip
"""Kinds of fault, in the order in which a search should try them, and what a story says of them."""


def _problem(where: str, what: str, fix: str) -> InvalidObjectError:
    return InvalidObjectError((Problem(where=where, what=what, fix=fix),))


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """Say that there is no such thing, and what may have been meant."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=1)
    return f"no {what} {given!r}; " + (
        f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(names)
    )


@attrs.frozen(repr=False)
class Fault:
    """One thing that goes wrong.

    Attributes:
        target: a machine's name; a zone's for `zone-outage`.
        kind: one of FAULTS.
        at: seconds after the beginning.
        lasts: seconds that a silence lasts; the others last until something frees the host.
    """

    target: str
    kind: str
    at: int = 0
    lasts: int = 2400

    def __attrs_post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise _problem(
                "Fault.kind", unknown("fault", self.kind, FAULTS), "take one of " + ", ".join(FAULTS)
            )
        if self.at < 0 or self.lasts <= 0:
            raise _problem("Fault", f"at={self.at}, lasts={self.lasts}", "at from 0, lasts from 1")

    def __repr__(self) -> str:
        rest = "" if self.lasts == 2400 else f", lasts={self.lasts}"
        return f"Fault({self.target!r}, {self.kind!r}, {self.at}{rest})"

    def strike(self, hosts: Iterable[SimHost]) -> None:
        """Do to these hosts, at once, what the fault does."""
        for host in hosts:
            if self.kind in (HUNG, USELESS):
                host.hang(kernel_lines(), Heals.NOTHING if self.kind == USELESS else Heals.REBOOT)
            elif self.kind == FALSE_ALARM:
                host.log(kernel_lines())
            else:
                host.link(False)
                host.timer.later(timedelta(seconds=self.lasts), lambda host=host: host.link(True))  # type: ignore[misc]


def _kept(zones: Mapping[str, int]) -> Mapping[str, int]:
    return MappingProxyType(dict(zones))


@attrs.frozen(kw_only=True, repr=False)
class Scenario:
    """A cluster, and what goes wrong in it.

    Attributes:
        zones: how many machines each zone has; those of zone a are a0, a1, ...
        faults: what goes wrong.
        seed: of all that is drawn in the simulation: the order of turns, tokens, names.
        hours: how long it is watched at most, on virtual time.
    """

    zones: Mapping[str, int] = attrs.field(converter=_kept)
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    hours: int = 12

    def __attrs_post_init__(self) -> None:
        machines = self.machines
        for index, fault in enumerate(self.faults):
            known: Iterable[str] = self.zones if fault.kind == OUTAGE else machines
            if fault.target not in known:
                kind = "zone" if fault.kind == OUTAGE else "machine"
                raise _problem(
                    f"faults[{index}].target", unknown(kind, fault.target, known), f"name a {kind} of `zones`"
                )

    def __repr__(self) -> str:
        faults = f", faults={self.faults!r}" if self.faults else ""
        hours = "" if self.hours == 12 else f", hours={self.hours}"
        return f"Scenario(zones={dict(self.zones)!r}{faults}, seed={self.seed}{hours})"

    @property
    def machines(self) -> Mapping[str, str]:
        """The zone of each machine, by name."""
        return {f"{zone}{number}": zone for zone, count in self.zones.items() for number in range(count)}

    @classmethod
    def library(cls, name: str, *, nodes: int = 12, zones: int = 3, seed: int = 0) -> "Scenario":
        """Give a scenario of the library, drawn by its seed.

        Args:
            name: `zone-outage`: a zone is silent for 40 minutes while a tenth of the others hang;
                `hung-nodes`: a fifth hang within ten minutes; `bad-detector`: a fifth look hung and are well.
            nodes: in all, spread evenly.
            zones: a, b, c, ...
            seed: which nodes, and when.

        Raises:
            ValueError: there is no such scenario.
        """
        if name not in LIBRARY:
            raise ValueError(unknown("scenario", name, LIBRARY))
        counts = {chr(97 + index): nodes // zones + (index < nodes % zones) for index in range(zones)}
        drawn = random.Random(f"{name}/{seed}")
        empty = cls(zones=counts, seed=seed)
        kind, share = LIBRARY[name]
        struck = drawn.sample(sorted(empty.machines), max(1, nodes * share // 100))
        faults = tuple(Fault(machine, kind, drawn.randrange(600)) for machine in struck)
        if name == OUTAGE:
            faults = (Fault(drawn.choice(sorted(counts)), OUTAGE, 0), *faults)
        return attrs.evolve(empty, faults=faults)


LIBRARY: Mapping[str, tuple[str, int]] = MappingProxyType(
    {"zone-outage": (HUNG, 10), "hung-nodes": (HUNG, 20), "bad-detector": (FALSE_ALARM, 20)}
)
"""What strikes single machines in each scenario of the library, and what per cent of them."""
