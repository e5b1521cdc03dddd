"""Upgrade: a component over many machines in batches; one of them is bad, a person resumes, one is excused."""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

import attrs

from kubenode.core import model as m
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model.batch import BATCH_LIMIT
from kubenode.core.model.quantity import nanoseconds
from kubenode.runtime.sim.check import Check, all_of, at_once
from kubenode.runtime.sim.stories.truth import lacking, runs
from kubenode.runtime.sim.story import Attend, Cast, Progress, Stage, Tell, Told, alone

MACHINES = 200
BAD = 117
LIMIT = timedelta(days=3)
THINKS = timedelta(minutes=2)


@attrs.frozen(kw_only=True)
class Plan:
    """What the file changes, and who will be bad.

    Attributes:
        main: the first set whose component changes, as it is in the end.
        chosen: the machines it selects.
        bad: one of them; on it the new version cannot be installed.
        refused: what it refuses; empty when the new component is no package, and then nothing fails.
    """

    main: m.MachineComponentSet
    chosen: frozenset[str]
    bad: str
    refused: frozenset[str]

    @property
    def pauses(self) -> bool:
        """Whether the one failure is more than the set bears."""
        return bool(self.refused) and self.main.spec.rollout.failure_threshold < 1

    @classmethod
    def of(cls, cast: Cast) -> "Plan":
        """Read it from the file.

        Raises:
            InvalidObjectError: no set changes its component, or it selects no machine.
        """
        begun = {one.metadata.name: one.spec.component for one in cast.of(m.MachineComponentSet)}
        changed = [
            one for one in cast.last(m.MachineComponentSet) if begun[one.metadata.name] != one.spec.component
        ]
        chosen = [
            machine.metadata.name
            for machine in cast.of(m.Machine)
            if changed and selects(changed[0], machine)
        ]
        if not chosen:
            what = "selects no machine of the file" if changed else "none of the file changes its component"
            fix = "write the set twice: first with what runs now, then with what is to run, as docs/examples/upgrade.yaml does"
            raise InvalidObjectError((Problem(where="MachineComponentSet", what=what, fix=fix),))
        main = changed[0]
        component = next(
            (c for c in cast.last(m.MachineComponent) if c.metadata.name == main.spec.component), None
        )
        refused: frozenset[str] = frozenset()
        if component is not None and "package" in component.spec.parameters:
            refused = frozenset((f"{component.spec.parameters['package']}={component.spec.version}",))
        return cls(
            main=main, chosen=frozenset(chosen), bad=chosen[min(BAD, len(chosen)) - 1], refused=refused
        )


def selects(one: m.MachineComponentSet, machine: m.Machine) -> bool:
    """Tell whether a set selects a machine."""
    return one.spec.selector.selects(machine.metadata.labels)


def play(cast: Cast, seed: int, tell: Tell, attend: Attend = alone) -> Told:
    """Bring all machines to the first version, apply the change, and play the person who resumes."""
    cast = cast.with_machines(MACHINES)
    plan = Plan.of(cast)
    stage = Stage("upgrade", cast, seed=seed, tell=tell, attend=attend)
    stage.open(lambda spec: attrs.evolve(spec, refuses=plan.refused) if spec.machine == plan.bad else spec)
    stage.until_running()
    stage.simulation.rest(limit=timedelta(hours=1))
    person = Person(stage)
    stage.simulation.watch(person.look)
    stage.simulation.watch(lambda: tell(_progress(stage, person)))
    stage.change()
    complete = stage.simulation.run_until(person.all_complete, limit=LIMIT)
    stage.simulation.rest(limit=timedelta(minutes=30))
    return stage.end(_checks(stage, person, plan, complete=complete), _summary(plan, person))


@attrs.define
class Person:
    """Whoever is on call: sees a rollout paused by a failure, looks for a while, and lets it go on."""

    stage: Stage
    pauses: list[tuple[int, str]] = attrs.field(factory=list)
    resumes: list[tuple[int, str]] = attrs.field(factory=list)
    last: dict[str, m.MachineComponentSet] = attrs.field(factory=dict)
    _looking: set[str] = attrs.field(factory=set)
    _versions: dict[str, str] = attrs.field(factory=dict)

    def look(self) -> None:
        """Look at the sets, as `kubectl get` shows them."""
        for raw in self.stage.simulation.objects(m.MachineComponentSet):
            name, version = raw["metadata"]["name"], raw["metadata"]["resourceVersion"]
            if self._versions.get(name) == version:
                continue
            self._versions[name] = version
            one = self.last[name] = self.stage.read(m.MachineComponentSet, name)
            if one.status.phase == "Paused" and not one.spec.rollout.paused and name not in self._looking:
                self._looking.add(name)
                why = next((c.message for c in one.status.conditions if c.type == "Progressing"), "")
                self.pauses.append((self.stage.simulation.time.elapsed, why))
                self.stage.simulation.at(THINKS, lambda name=name: self._resume(name))  # type: ignore[misc]

    def _resume(self, name: str) -> None:
        one = self.stage.read(m.MachineComponentSet, name)
        self._looking.discard(name)
        if one.status.phase != "Paused" or one.status.update is None or not one.status.failures:
            return
        self.resumes.append((self.stage.simulation.time.elapsed, name))
        excuse = {"revision": str(one.status.update.number), "failures": one.status.failures}
        self.stage.simulation.change(m.MachineComponentSet, name, {"spec": {"rollout": {"excuse": excuse}}})

    def all_complete(self) -> bool:
        """Tell whether every set says Complete of what is asked now."""
        wanted = {
            one.metadata.name: one.spec.component for one in self.stage.cast.last(m.MachineComponentSet)
        }
        return all(
            name in self.last and self.last[name].status.phase == "Complete"
            and self.last[name].status.current is not None
            and self.last[name].status.current.component == component  # type: ignore[union-attr]
            for name, component in wanted.items()
        )  # fmt: skip


def _checks(stage: Stage, person: Person, plan: Plan, *, complete: bool) -> Iterable[Check]:
    cast, hosts = stage.cast, stage.simulation.hosts
    excused = frozenset((plan.bad,)) if plan.refused else frozenset()
    yield all_of(
        "rollout completed",
        () if complete else (f"{one.metadata.name} is {one.status.phase}" for one in person.last.values()),
    )
    yield all_of("every good machine runs the new version", lacking(cast, hosts, excused))
    yield all_of("batch sizes as asked", _wrong_batches(stage))
    yield all_of("within maxUnavailable", _too_many(stage))
    if plan.refused:
        yield all_of("the bad machine keeps the old version", _not_kept(stage, plan))
    if plan.pauses:
        yield all_of("paused at the failure", () if person.pauses else ("it never paused",))
        yield all_of("nothing begun while paused", _begun_while_paused(stage, person, plan))
        yield all_of("one excused", _not_excused(person, plan))
    else:
        yield all_of("never paused", (f"paused: {why}" for _, why in person.pauses))


def _wrong_batches(stage: Stage) -> Iterable[str]:
    """Compare the batch numbers in the machines' entries with the sizes that the set asks for."""
    machines = stage.all(m.Machine)
    for one in stage.cast.last(m.MachineComponentSet):
        entries = [
            machine.spec.components[one.spec.name] for machine in machines
            if one.spec.name in machine.spec.components and machine.spec.components[one.spec.name].component == one.spec.component
        ]  # fmt: skip
        counted = Counter(entry.batch for entry in entries if entry.batch > 0)
        found = [counted[number] for number in sorted(counted)]
        expected: list[int] = []
        sizes = one.spec.rollout.batches
        left = total = sum(entry.batch > 0 for entry in entries)
        while left > 0:
            size = sizes[min(len(expected), len(sizes) - 1)]
            take = min(left, BATCH_LIMIT, -(-size.amount * total // 100) if size.percent else size.amount)
            expected.append(take)
            left -= take
        if found != expected:
            yield f"{one.metadata.name}: batches {found}, asked {expected}"


def _too_many(stage: Stage) -> Iterable[str]:
    """Count the hosts really acted on at once, after their first Running, against each set's maxUnavailable."""
    uids = {machine.metadata.name: machine.metadata.uid for machine in stage.all(m.Machine)}
    spans = [
        span for host in stage.simulation.hosts.values() for span in host.spans
        if span.disruptive and stage.witness.first_running.get(uids[span.machine], 2**62) <= span.began
    ]  # fmt: skip
    for one in stage.cast.last(m.MachineComponentSet):
        chosen = {machine.metadata.name for machine in stage.cast.of(m.Machine) if selects(one, machine)}
        mine = [span for span in spans if span.machine in chosen]
        most = one.spec.rollout.max_unavailable
        limit = max(1, most.amount * len(chosen) // 100) if most.percent else most.amount
        peak = at_once((span.began, span.ended) for span in mine)
        if peak > limit:
            yield f"{one.metadata.name}: {peak} at once, at most {limit}"


def _not_kept(stage: Stage, plan: Plan) -> Iterable[str]:
    begun = next(
        one for one in stage.cast.of(m.MachineComponentSet) if one.metadata.name == plan.main.metadata.name
    )
    host = stage.simulation.hosts[plan.bad]
    for one in stage.cast.of(m.MachineComponent):
        if one.metadata.name == begun.spec.component and not runs(host, one):
            yield f"{plan.bad} no longer runs {one.metadata.name}"


def _begun_while_paused(stage: Stage, person: Person, plan: Plan) -> Iterable[str]:
    """Nothing of the set may begin between the pause and the resume but what had its permit before the pause.

    Where another set selects the same machines, a permit does not say whose it is; then this is not judged.
    """
    if any(selects(one, machine) for one in stage.cast.last(m.MachineComponentSet)
           if one.metadata.name != plan.main.metadata.name
           for machine in stage.cast.of(m.Machine) if machine.metadata.name in plan.chosen):  # fmt: skip
        return
    grace = nanoseconds(timedelta(seconds=1))
    for (paused, _), (resumed, _) in zip(person.pauses, person.resumes, strict=False):
        for permit in stage.witness.permits.values():
            if permit.hold.machine in plan.chosen and paused + grace < permit.opened < resumed:
                yield f"{permit.hold.machine} got a permit while paused"


def _not_excused(person: Person, plan: Plan) -> Iterable[str]:
    for name, one in person.last.items():
        expected = int(name == plan.main.metadata.name)
        if one.status.excused != expected:
            yield f"{name}: excused {one.status.excused}, expected {expected}"


def _progress(stage: Stage, person: Person) -> Progress:
    updated = sum(one.status.updated for one in person.last.values())
    total = sum(one.status.selected for one in person.last.values()) or len(stage.simulation.hosts)
    paused = [c.message for one in person.last.values() if one.status.phase == "Paused"
              for c in one.status.conditions if c.type == "Progressing"]  # fmt: skip
    batches = [
        f"batch {one.status.batch.number}" for one in person.last.values() if one.status.batch is not None
    ]
    return Progress(
        story="upgrade",
        done=updated,
        total=total,
        text=(f"paused: {paused[0]}" if paused else ", ".join(batches)),
    )


def _summary(plan: Plan, person: Person) -> str:
    one = person.last.get(plan.main.metadata.name)
    if one is None:
        return "the set never said anything"
    sizes = "/".join(str(record.size) for record in one.status.batches)
    why = f"; paused: {person.pauses[0][1]}" if person.pauses else ""
    return f"{one.status.updated}/{one.status.selected} updated in batches {sizes}, excused {one.status.excused}{why}"
