"""One key a name of a machine: who asks to be its agent, and may be.

Requests of other signers are not watched; of those for other names nothing is remembered but that.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.enrol.decide import EnrolSnapshot, decide
from kubenode.core.enrol.request import SigningRequest, machine_of
from kubenode.core.model.world import CertificateSigningRequest
from kubenode.core.policy import Policy
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.store.cache import Cache, Change

ReadRequest: TypeAlias = Callable[[CertificateSigningRequest], SigningRequest | None]


class EnrolController:
    """Which names a change concerns, and who asks for them.

    Args:
        cache: with Machines and requests.
        read: takes a request apart; None when nobody can.
    """

    name = "enrol"

    def __init__(self, cache: Cache, read: ReadRequest) -> None:
        self._cache = cache
        self._read = read
        self._requests: dict[str, SigningRequest] = {}
        self._asking: dict[str, set[str]] = {}

    def concerns(self, change: Change) -> Iterable[str]:
        """The name that a request is for; a machine for whose name there is one."""
        if change.kind is CertificateSigningRequest:
            yield from self._heard(change)
        elif change.kind is m.Machine and change.name in self._asking:
            yield change.name

    def _heard(self, change: Change) -> Iterable[str]:
        """Keep the requests for machines, taken apart, as they are now."""
        old = self._requests.pop(change.name, None)
        new = self._read(change.after) if isinstance(change.after, CertificateSigningRequest) else None
        names = [machine_of(one) for one in (old, new) if one is not None]
        if old is not None:
            waiting = self._asking[machine_of(old)]
            waiting.discard(change.name)
            if not waiting:
                del self._asking[machine_of(old)]
        if new is not None and machine_of(new):
            self._requests[change.name] = new
            self._asking.setdefault(machine_of(new), set()).add(change.name)
        return sorted({name for name in names if name})

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of one name, as long as somebody asks for it."""
        asking = self._asking.get(key)
        if not asking:
            return None
        machine = self._cache.get(m.Machine, key)
        requests = tuple(self._requests[name] for name in sorted(asking))
        snapshot = EnrolSnapshot(
            name=key, machine=machine, requests=requests, now=now, sightings=sightings
        )  # fmt: skip
        stored = None if machine is None else machine.status.enrolment
        return Question(snapshot=snapshot, subject=machine, stored=stored, part="enrolment")

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/enrol."""
        return decide(snapshot, policy)
