"""Machines of Cluster API as instances, in one namespace of one management cluster.

Cluster API has no create that could be repeated, so an act here looks before it writes: see `book.py`. What an act asks
for is done by the controllers of Cluster API, some time later.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final

import attrs

from kubenode.core.capability import Finding
from kubenode.core.errors import Ambiguous, Busy, Invalid, NotFound, Protected, TokenConflict, Unavailable
from kubenode.core.hookspecs import CreateRequest, Guard, Instance, Page
from kubenode.core.model.meta import LABEL, matches
from kubenode.providers.clusterapi import checks, reading
from kubenode.providers.clusterapi.book import BOOK, Book, Line, Plan
from kubenode.providers.clusterapi.client import Management, Send
from kubenode.providers.clusterapi.params import ClusterApiParams, ClusterApiSettings
from kubenode.providers.clusterapi.reading import DEPLOYMENTS, MACHINES, OURS, SETS, Where
from kubenode.providers.pace import Budget, Pace

PAGE: Final = 500
OWNERS: Final = (DEPLOYMENTS, SETS)
ORIGIN: Final = f"{reading.CLAIM}-of"


class ClusterApiProvider:
    """Cluster API. Safe to be called from several threads, and by several controllers."""

    params: ClassVar[type[ClusterApiParams]] = ClusterApiParams

    def __init__(
        self, settings: ClusterApiSettings, *, name: str = "clusterapi", send: Send | None = None
    ) -> None:
        """Make a provider; nothing is imported, read or sent before its first call.

        Args:
            settings: of one namespace; every other one has a provider of its own, with another name.
            name: what `spec.infrastructure.provider` says.
            send: sends requests; None: by the `kubernetes` package.
        """
        self.name = name
        budget = Budget.full(rate=settings.calls_per_second, burst=settings.burst)
        self.management = Management(settings, Pace(budget), send)

    def __repr__(self) -> str:
        return f"ClusterApiProvider({self.management!r}, name={self.name!r})"

    # What every provider does.

    def create(self, request: CreateRequest[ClusterApiParams]) -> Instance:
        """Scale an owner up by one for this token, or adopt the Machine that is named; once, however often it is asked for.

        The instance is PENDING until the owner has made its Machine. User data is Cluster API's own, so none is sent.

        Raises:
            TokenConflict: the token was used for something else, or what it made was ended.
            Protected: somebody else decides how many replicas there are, or the Machine is another's.
            Ambiguous: an answer is lost; a repeat does no harm.
            Busy: the owner has changed meanwhile.
        """
        where = _asked(request.params, request.token)
        try:
            if where.resource == MACHINES:
                return self._adopted(where, request.tags)
            return self._scaled(where, request.tags)
        except Unavailable as error:
            # Nothing was written by this call; whether an earlier one was is what the answer would have said.
            raise Ambiguous(str(error)) from error
        except NotFound:
            raise Invalid(
                f"there is no {where.resource} {where.name} in namespace {self.management.namespace}"
            ) from None

    def get(self, instance_id: str) -> Instance:
        """Look at one instance. Raises NotFound when there is none, or none any more."""
        where = Where.read(instance_id)
        found = self._claimed(where)
        if found is not None:
            return reading.instance(found, where)
        if where.resource == MACHINES:
            raise NotFound(instance_id)
        _, book, _ = self._settled(where.resource, where.name)
        entry = book.entry(where.token)
        if entry is None or entry.line is Line.ENDED:
            raise NotFound(instance_id)
        if entry.line is Line.PENDING:
            return reading.pending(where, entry.tags)
        return reading.instance(self.management.get(MACHINES, entry.machine), where)

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Give the instances that carry all these tags, a page at a time: those without a Machine first.

        What owners have made since is given to those who wait for it.
        """
        what, _, token = (cursor or f"{OWNERS[0]}:").partition(":")
        if what in OWNERS:
            later = (*OWNERS, MACHINES)[OWNERS.index(what) + 1]
            return Page(items=tuple(_carrying(self._waiting(what), tags)), cursor=f"{later}:")
        if what != MACHINES:
            raise Invalid(f"{cursor!r} is no cursor of this provider")
        found = self.management.page(MACHINES, reading.CLAIM, PAGE, token)
        more = found.get("metadata", {}).get("continue", "")
        seen = (self._read(one) for one in found["items"])
        return Page(
            items=tuple(_carrying((one for one in seen if one is not None), tags)),
            cursor=f"{MACHINES}:{more}" if more else None,
        )

    def delete(self, instance_id: str) -> None:
        """Let a Machine go: it is marked, and its owner scaled down by one; one without owner is deleted. Never both.

        Raises:
            NotFound: nothing was ever made by this id.
            Busy: its Machine is not made yet, its owner replaces Machines now, or it has changed meanwhile.
            Protected: somebody else decides how many replicas there are.
            Ambiguous: an answer is lost; a repeat does no harm.
        """
        where = Where.read(instance_id)
        machine = self._claimed(where)
        if where.resource != MACHINES:
            self._ended(where, machine)
            return
        if machine is None:
            raise NotFound(instance_id)
        if "deletionTimestamp" in machine["metadata"]:
            return
        owner = _owner(machine)
        if owner is None:
            self.management.delete(machine["metadata"]["name"], machine["metadata"]["uid"])
        else:
            self._ended(Where(resource=owner[0], name=owner[1], token=where.token), machine)

    # What only some can do.

    def guard(self, instance_id: str, guard: Guard) -> None:
        """Tell Cluster API what to leave to us: `skip-remediation`, and the hook before its own drain.

        What a person has put there stays, and counts.
        """
        where = Where.read(instance_id)
        machine = self._claimed(where)
        if machine is None:
            raise NotFound(instance_id)
        changes = reading.guarding(machine, guard)
        if changes:
            self.management.patch(MACHINES, machine["metadata"]["name"], _changed(machine, changes))

    def checks(self, params: ClusterApiParams | None) -> tuple[str, ...]:
        """Name what can be checked before a machine is made."""
        return checks.named(params)

    def check(self, about: str, params: ClusterApiParams | None) -> Finding:
        """Check one of them by a call that changes nothing."""
        return checks.asked(self.management, about, params)

    # How it is done.

    def _adopted(self, where: Where, tags: Mapping[str, str]) -> Instance:
        machine = self.management.get(MACHINES, where.name)
        claim = reading.labels(machine).get(reading.CLAIM)
        if claim not in (None, where.token):
            text = f"Machine {where.name} of Cluster API is adopted already (its label {reading.CLAIM} is {claim})"
            raise Protected(f"{text}; fix: delete the other Machine of kubenode, then take the label away")
        if "deletionTimestamp" in machine["metadata"]:
            raise TokenConflict(f"Machine {where.name} of Cluster API is being deleted")
        if claim is None:
            machine = self._told(machine, where, tags)
        return reading.instance(machine, where)

    def _scaled(self, where: Where, tags: Mapping[str, str]) -> Instance:
        owner = self.management.get(where.resource, where.name)
        book = _book(owner)
        entry = book.entry(where.token)
        if entry is not None:
            if entry.line is Line.ENDED:
                raise TokenConflict(f"what {where.token} made was ended; a new attempt needs a new token")
            return self._waited(where, entry.machine, entry.tags)
        self._used_elsewhere(where)
        _may_scale(owner)
        machines = self._machines(owner)
        plan = book.create(where.token, tags, _replicas(owner), [reading.made(one) for one in machines])
        self._written(where.resource, owner, plan, creates=True)
        return reading.pending(where, tags)

    def _waited(self, where: Where, machine: str, tags: Mapping[str, str]) -> Instance:
        """Give what an earlier call with this token asked for."""
        if not machine:
            return reading.pending(where, tags)
        try:
            found = self.management.get(MACHINES, machine)
        except NotFound:
            raise TokenConflict(
                f"Machine {machine}, which {where.token} made, is no more; a new attempt needs a new token"
            ) from None
        return reading.instance(found, where)

    def _used_elsewhere(self, where: Where) -> None:
        """See to it that the token asks for nothing else already."""
        found = self._claimed(where)
        used = [] if found is None else [reading.origin(found, where.token)]
        for resource in OWNERS:
            waiting = self.management.page(resource, reading.PENDING, PAGE)["items"]
            used += [
                attrs.evolve(where, resource=resource, name=one["metadata"]["name"])
                for one in waiting if _book(one).entry(where.token) is not None
            ]  # fmt: skip
        if where in used:
            raise Busy(f"{where.id} is being asked for by somebody else at this moment")
        if used:
            raise TokenConflict(f"token {where.token} was used for something else")

    def _claimed(self, where: Where) -> Mapping[str, Any] | None:
        """Give the Machine that bears a token; of several, which nobody here makes, the first by name."""
        found = self.management.page(MACHINES, f"{reading.CLAIM}={where.token}", PAGE)["items"]
        return min(found, key=lambda one: str(one["metadata"]["name"]), default=None)

    def _machines(self, owner: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Give all Machines of an owner."""
        wanted, cursor, found = reading.selector(owner), "", list[Mapping[str, Any]]()
        while True:
            page = self.management.page(MACHINES, wanted, PAGE, cursor)
            found += page["items"]
            cursor = page.get("metadata", {}).get("continue", "")
            if not cursor:
                return found

    def _settled(self, resource: str, name: str) -> tuple[Mapping[str, Any], Book, list[Mapping[str, Any]]]:
        """Give what an owner has made to those who wait for it: written in the book first, then told to the Machines."""
        owner = self.management.get(resource, name)
        book, machines = _book(owner), self._machines(owner)
        given = book.assign(_replicas(owner), [reading.made(one) for one in machines])
        if given is not book:
            owner = self._written(resource, owner, Plan(book=given, replicas=_replicas(owner)))
        tokens = {
            entry.machine: token for token, entry in given.entries.items() if entry.line is Line.ASSIGNED
        }
        for at, machine in enumerate(machines):
            token = tokens.get(machine["metadata"]["name"])
            if token is not None and not reading.labels(machine).get(reading.CLAIM):
                mine = Where(resource=resource, name=name, token=token)
                machines[at] = self._told(machine, mine, given.entries[token].tags)
        return owner, given, machines

    def _waiting(self, resource: str) -> Iterable[Instance]:
        """Give the instances whose owners have not made a Machine for them yet."""
        for owner in self.management.page(resource, reading.PENDING, PAGE)["items"]:
            name = owner["metadata"]["name"]
            book, over = _book(owner), set[str]()
            with suppress(Busy, Ambiguous):  # somebody else does it at this moment
                _, book, machines = self._settled(resource, name)
                made = [reading.made(one) for one in machines]
                over = {*(one.claim for one in made), *book.lost(made)}
            for token in (token for token in book.open if token not in over):
                yield reading.pending(
                    Where(resource=resource, name=name, token=token), book.entries[token].tags
                )

    def _read(self, machine: Mapping[str, Any]) -> Instance | None:
        token = reading.labels(machine)[reading.CLAIM]
        where = reading.origin(machine, token)
        return None if where is None else reading.instance(machine, where)

    def _ended(self, where: Where, machine: Mapping[str, Any] | None) -> None:
        """Scale an owner down by the Machine of a token."""
        owner = self.management.get(where.resource, where.name)
        book = _book(owner)
        entry = book.entry(where.token)
        if machine is None and entry is None:
            raise NotFound(where.id)
        if entry is not None and entry.line is Line.ENDED:
            return
        _may_scale(owner)
        if reading.rolls(owner):
            raise Busy(f"{where.name} replaces its Machines now; which one a scale-down would end is open")
        if machine is None or "deletionTimestamp" in machine["metadata"]:
            owner, book, machine = self._replaced(where)
        self.management.patch(
            MACHINES, machine["metadata"]["name"], _changed(machine, {reading.DELETE: OURS, reading.HOOK: None})
        )  # fmt: skip
        self._written(where.resource, owner, book.end(where.token, _replicas(owner)))

    def _replaced(self, where: Where) -> tuple[Mapping[str, Any], Book, Mapping[str, Any]]:
        """Give the Machine that an owner has made in place of one that somebody else has ended."""
        owner, book, machines = self._settled(where.resource, where.name)
        entry = book.entries.get(where.token)
        free = book.free(_replicas(owner), [reading.made(one) for one in machines])
        alive = {
            one["metadata"]["name"]: one for one in machines if "deletionTimestamp" not in one["metadata"]
        }
        name = entry.machine if entry is not None and entry.machine in alive else free[0].name if free else ""
        if not name:
            raise Busy(f"{where.name} has not made the Machine yet that is to go")
        return owner, book, alive[name]

    def _told(self, machine: Mapping[str, Any], where: Where, tags: Mapping[str, str]) -> Mapping[str, Any]:
        """Write on a Machine whose instance it is."""
        body = _changed(
            machine, {reading.TAGS: json.dumps(dict(tags)), ORIGIN: f"{where.resource}/{where.name}"}
        )
        body["metadata"]["labels"] = {reading.CLAIM: where.token}
        return self.management.patch(MACHINES, machine["metadata"]["name"], body)

    def _written(
        self, resource: str, owner: Mapping[str, Any], plan: Plan, *, creates: bool = False
    ) -> Mapping[str, Any]:
        """Write the book and the number of replicas at once."""
        body = _changed(owner, {BOOK: plan.book.text()})
        body["metadata"]["labels"] = {reading.PENDING: "true" if plan.book.open else None}
        if plan.replicas != _replicas(owner):
            body["spec"] = {"replicas": plan.replicas}
        return self.management.patch(resource, owner["metadata"]["name"], body, creates=creates)


def _asked(params: ClusterApiParams, token: str) -> Where:
    if len(token) > 63 or not matches(LABEL, token):
        raise Invalid("a token is a label of Kubernetes: at most 63 lower-case letters, digits and -")
    named = {DEPLOYMENTS: params.machine_deployment, SETS: params.machine_set, MACHINES: params.machine}
    resource, name = next((resource, name) for resource, name in named.items() if name)
    return Where(resource=resource, name=name, token=token)


def _book(owner: Mapping[str, Any]) -> Book:
    return Book.read(reading.annotations(owner).get(BOOK))


def _replicas(owner: Mapping[str, Any]) -> int:
    return int(owner.get("spec", {}).get("replicas", 1))


def _may_scale(owner: Mapping[str, Any]) -> None:
    other = reading.managed(owner)
    if other:
        name = owner["metadata"]["name"]
        raise Protected(
            f"{other} decides how many replicas {name} has; fix: let only one of the two, or name another one"
        )
    if "deletionTimestamp" in owner["metadata"]:
        raise Invalid(f"{owner['metadata']['name']} is being deleted; fix: name another one")


def _owner(machine: Mapping[str, Any]) -> tuple[str, str] | None:
    """Name what would make a Machine anew: its MachineDeployment, else its MachineSet; None: nothing would."""
    deployment = reading.labels(machine).get(f"{reading.GROUP}/deployment-name")
    if deployment:
        return DEPLOYMENTS, deployment
    for one in machine["metadata"].get("ownerReferences") or ():
        if one.get("controller") and one.get("kind") == "MachineSet":
            return SETS, str(one["name"])
        if one.get("controller"):
            text = f"Machine {machine['metadata']['name']} is {one.get('kind')} {one.get('name')}'s"
            raise Protected(f"{text}, which kubenode does not scale; fix: set deletionPolicy to Release")
    return None


def _changed(obj: Mapping[str, Any], annotations: Mapping[str, str | None]) -> dict[str, Any]:
    """Give a patch of annotations, for the very state that was read."""
    metadata = obj["metadata"]
    kept = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    return {"metadata": {**kept, "annotations": dict(annotations)}}


def _carrying(found: Iterable[Instance], tags: Mapping[str, str]) -> Iterable[Instance]:
    return (one for one in found if tags.items() <= one.tags.items())
