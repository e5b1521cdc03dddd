"""The instances as they were last seen, by provider: memory of looks and answers, and when the next look is of use.

It makes no call and reads no clock; `runtime/embed/clouds.py` and the simulator do, and tell it. Nothing here decides
about a machine: what looks prove is `core/instance/evidence.py`'s to say.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs

from kubenode.core.decision import CloudEffect, CreateInstance, GuardInstance
from kubenode.core.errors import Problem
from kubenode.core.hookspecs import Instance
from kubenode.core.instance.evidence import ABSENCE, dead, doubted, leaving
from kubenode.core.instance.seen import (
    MACHINE_UID_TAG,
    SET_UID_TAG,
    FrozenProvider,
    InstanceSight,
    OrphanSight,
    ProviderAnswer,
)
from kubenode.core.instance.turn import MINUTE, SECOND, pause, spread
from kubenode.core.machineset.orphans import ORPHANS
from kubenode.core.model.condition import find
from kubenode.core.model.instance import InstanceStep
from kubenode.core.model.machine import Machine
from kubenode.core.model.machineset import MachineSet
from kubenode.runtime.observe.calls import Failure, Look, Looked, answered
from kubenode.runtime.observe.launches import Launches
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.userdata.boots import Boots

SPACING: Final = 5 * SECOND
"""Least time between the beginnings of two looks at one provider: who wants one meanwhile shares the next."""
FIRST_THAW: Final = 30 * SECOND
LONGEST_THAW: Final = 10 * MINUTE


@attrs.frozen(kw_only=True)
class _Entry:
    """An instance as it was seen; `told`: by an answer, and no look has shown it yet."""

    instance: Instance
    at: int
    told: bool = False


@attrs.frozen(kw_only=True)
class _Bond:
    """What a machine says of its instance."""

    uid: str
    provider: str
    id: str
    step: InstanceStep | None

    @property
    def stays(self) -> bool:
        """Whether nobody has asked for the end of what it names."""
        return self.step is InstanceStep.MADE

    @property
    def asked(self) -> bool:
        """Whether its instance is asked for when a look does not show it: what is proven to be no more is not."""
        return bool(self.id) and self.step is not InstanceStep.GONE


@attrs.define
class _Scope:
    """One provider: one account in one region."""

    entries: dict[str, _Entry] = attrs.field(factory=dict)
    owned: dict[str, dict[str, None]] = attrs.field(factory=dict)
    grouped: dict[str, dict[str, None]] = attrs.field(factory=dict)
    orphaned: set[str] = attrs.field(factory=set)
    looked: int | None = None
    looking: bool = False
    unseen: set[str] = attrs.field(factory=set)
    absent: dict[str, int] = attrs.field(factory=dict)
    wanted: dict[str, int] = attrs.field(factory=dict)
    not_before: int = 0
    failures: int = 0
    frozen: FrozenProvider | None = None
    by_write: bool = False
    probing: bool = False
    freezes: int = 0
    doubt: str = ""


class Instances:
    """What is known of all instances. For one thread, that of the engine.

    Args:
        plugins: whose providers are looked at.
        resync: so long after a look the next one is made although nobody wants it, nanoseconds; None: never.
        boots: makes user data; None: one whose machines cannot enrol by it.
    """

    def __init__(self, plugins: Plugins, *, resync: int | None = None, boots: Boots | None = None) -> None:
        self.launches = Launches(plugins, boots)
        self._resync = resync
        self._scopes: dict[str, _Scope] = {}
        self._bonds: dict[str, _Bond] = {}
        self._names: dict[str, dict[str, None]] = {}
        self._holders: dict[tuple[str, str], dict[str, None]] = {}
        self._answers: dict[str, ProviderAnswer] = {}
        self._uids: dict[str, str] = {}
        self._sets: dict[str, str] = {}
        self._saying: dict[str, str] = {}
        self.noticed: Callable[[], None] = _nobody
        """Is told that a look is wanted."""

    # What decisions ask.

    def sight(self, machine: Machine) -> InstanceSight | None:
        """Give what is known of a machine's instance; None when it has none and wants none."""
        name, bond = machine.metadata.name, _bond(machine)
        self._bind(name, bond)
        wanted = machine.spec.infrastructure
        if bond is None:
            return None
        scope, status = self._scope(bond.provider), machine.status.instance
        given = () if wanted is None else self.launches.wanted(wanted)
        entry = scope.entries.get(bond.id)
        return InstanceSight(
            wanted=() if isinstance(given, Problem) else given,
            problem=given if isinstance(given, Problem) else None,
            pinned=() if status is None else self.launches.pinned(status.provider, status.parameters, wanted),
            blind=self.launches.blind(bond.provider),
            mine=tuple(scope.entries[key].instance for key in scope.owned.get(bond.uid, ())),
            known=None if entry is None else entry.instance,
            looked=scope.looked, missing=name in scope.unseen, answer=self._answers.get(bond.uid),
            frozen=scope.frozen, doubt=scope.doubt,
            rivals=tuple(sorted(one for one in self._holders.get((bond.provider, bond.id), ()) if one != name)) if bond.id else (),
        )  # fmt: skip

    def answer(self, machine_uid: str) -> ProviderAnswer | None:
        """Give what a provider answered to the last act on a machine's instance, in the life of this process."""
        return self._answers.get(machine_uid)

    def want(self, name: str, look: int | None) -> None:
        """Note from when a look is of use to a machine; None: none is."""
        bond = self._bonds.get(name)
        for provider, scope in self._scopes.items():
            if look is not None and bond is not None and bond.provider == provider:
                if scope.wanted.get(name) != look:
                    scope.wanted[name] = look
                    self.noticed()
            else:
                scope.wanted.pop(name, None)

    def forget(self, name: str) -> None:
        """Forget a machine that is no more."""
        self.want(name, None)
        self._bind(name, None)

    def orphans(self, owner: MachineSet) -> Mapping[str, int]:
        """Give the ids of the instances made for a set whose machine is not there, and when the look began that showed them."""
        uid = owner.metadata.uid
        self._sets[uid] = owner.metadata.name
        self._says(owner)
        return {key: at for scope in self._scopes.values() for key, at in self._orphans(scope, uid).items()}

    def _says(self, owner: MachineSet) -> None:
        """Note whether a set says that it has orphans: then it is looked at, and told, until it does not."""
        uid, provider = owner.metadata.uid, owner.spec.template.spec.infrastructure.provider
        if find(owner.status.conditions, ORPHANS) is None:
            self._saying.pop(uid, None)
        elif self._saying.get(uid) != provider:
            self._saying[uid] = provider
            self._scope(provider)
            self.noticed()

    def looked_for(self, owner: MachineSet) -> int | None:
        """Give when the last look began that could show what was made for a set, the oldest of several providers'.

        Returns:
            0 while one of them was not looked at; None: there is no such provider.
        """
        uid, wanted = owner.metadata.uid, owner.spec.template.spec.infrastructure.provider
        names = {wanted, *(name for name, scope in self._scopes.items() if scope.grouped.get(uid))}
        found = [self._scopes.get(name) for name in names if self.launches.provider(name) is not None]
        return min((0 if one is None or one.looked is None else one.looked for one in found), default=None)

    def orphan_sights(self, owner: MachineSet) -> Mapping[str, OrphanSight]:
        """Give what else is known of them; which Machines and Nodes have to do with them is for others to say."""
        uid = owner.metadata.uid
        return {
            key: OrphanSight(
                instance=scope.entries[key].instance, provider=provider, doubt=_doubt(provider, scope), answer=self._answers.get(uid), frozen=scope.frozen,
            )
            for provider, scope in self._scopes.items() for key in self._orphans(scope, uid)
        }  # fmt: skip

    def forget_set(self, name: str) -> None:
        """Forget a set that is no more."""
        for uid in [uid for uid, known in self._sets.items() if known == name]:
            self._answers.pop(uid, None)
            self._saying.pop(uid, None)
        self._sets = {uid: known for uid, known in self._sets.items() if known != name}

    def sets_to_tell(self, provider: str) -> tuple[str, ...]:
        """Name the sets that have orphans by the last look at a provider, or had some by the one before, or say so."""
        scope = self._scope(provider)
        now = {uid for uid in scope.grouped if self._orphans(scope, uid)}
        saying = {uid for uid, named in self._saying.items() if named == provider}
        told, scope.orphaned = scope.orphaned | now | saying, now
        return tuple(sorted(self._sets[uid] for uid in told if uid in self._sets))

    # What those who call are told.

    def next_look(self, provider: str) -> int | None:
        """Give when the next look at a provider is to begin, in `Now.elapsed`; None: nobody wants one, or one is under way."""
        scope = self._scopes.get(provider)
        if scope is None or scope.looking:
            return None
        moments = list(scope.wanted.values())
        if self._resync is not None and (self._names.get(provider) or provider in self._saying.values()):
            moments.append(0 if scope.looked is None else scope.looked + self._resync)
        if not moments:
            return None
        return max(min(moments), scope.not_before)

    @property
    def providers(self) -> tuple[str, ...]:
        """Name the providers that machines name, and that there are."""
        return tuple(name for name in self._scopes if self.launches.provider(name) is not None)

    def begin(self, provider: str, now: int) -> tuple[str, ...]:
        """Begin a look; give the ids that are asked for one by one, if it does not show them.

        One that is to end and was not known is not asked for again before the next question can prove anything: of many
        that go at once, each look would ask for each.
        """
        scope = self._scope(provider)
        scope.looking, scope.not_before = True, now + SPACING
        scope.absent = {key: at for key, at in scope.absent.items() if now - at < ABSENCE}
        return tuple(
            sorted(one.id for one in self._bound(provider) if one.asked and one.id not in scope.absent)
        )

    def looked(self, provider: str, look: Looked, now: int) -> tuple[str, ...]:
        """Take what a look showed; give the machines that are to be decided about anew."""
        scope = self._scope(provider)
        scope.looking = False
        if isinstance(look, Failure):
            return self._look_failed(provider, scope, look, now)
        scope.failures = 0
        before = {name: self._state(scope, name) for name in self._names.get(provider, ())}
        thawed = scope.frozen is not None and not scope.by_write
        if thawed:
            self._thaw(scope)
        shown = {one.id: _Entry(instance=one, at=look.began) for one in look.instances}
        kept = {
            key: entry for key, entry in scope.entries.items()
            if (entry.told or entry.at > look.began) and (key not in shown or entry.at > look.began)
        }  # fmt: skip
        scope.entries = {**shown, **kept}
        scope.owned, scope.grouped = {}, {}
        scope.absent = {key: at for key, at in scope.absent.items() if key not in shown}
        for entry in scope.entries.values():
            _own(scope, entry.instance)
        scope.looked = look.began
        self._judge(provider, scope, look, shown)
        wanting = {name for name, at in scope.wanted.items() if at <= look.began or thawed}
        changed = {name for name, state in before.items() if self._state(scope, name) != state}
        return tuple(sorted(wanting | changed))

    def freezes(self, provider: str) -> int:
        """Count how often a provider has frozen since it last took our credentials. May be read from any thread."""
        return self._scope(provider).freezes

    def frozen_since(self, provider: str, freezes: int) -> Failure | None:
        """Refuse what passed the gate before the provider froze; None lets it go. May be asked from any thread."""
        scope = self._scope(provider)
        frozen = scope.frozen
        return (
            None
            if frozen is None or scope.freezes <= freezes
            else Failure(error="AuthFailed", text=frozen.text)
        )

    def gate(self, effect: CloudEffect, now: int) -> ProviderAnswer | None:
        """Refuse an effect whose provider takes no credentials of ours, but for one that tries again; None lets it go."""
        scope = self._scope(effect.provider)
        if scope.frozen is None:
            return None
        if now < scope.frozen.until:
            return answered(effect, Failure(error="AuthFailed", text=scope.frozen.text), now)
        scope.frozen, scope.probing = attrs.evolve(scope.frozen, until=now + FIRST_THAW), True
        return None

    def answered(self, effect: CloudEffect, answer: ProviderAnswer) -> tuple[str, ...]:
        """Take what came of an effect; give the other machines that are to be decided about anew."""
        scope = self._scope(effect.provider)
        self._answers[effect.machine.uid] = answer
        if answer.instance is not None:
            scope.entries[answer.instance.id] = _Entry(instance=answer.instance, at=answer.at, told=True)
            _own(scope, answer.instance)
        known = scope.entries.get(effect.instance) if isinstance(effect, GuardInstance) else None
        if isinstance(effect, GuardInstance) and known is not None and not answer.error:
            shown = attrs.evolve(known.instance, guard=effect.guard)
            scope.entries[effect.instance] = attrs.evolve(known, instance=shown, at=answer.at)
        if isinstance(effect, CreateInstance):
            scope.unseen.discard(effect.machine.name)
        if answer.error == "AuthFailed":
            self._freeze(effect.provider, scope, answer.text, answer.at, by_write=True)
            return ()
        if scope.frozen is None or answer.error in ("Throttled", "Unavailable", "Ambiguous"):
            return ()
        self._thaw(scope)
        return tuple(self._names.get(effect.provider, ()))

    # How it is kept.

    def _orphans(self, scope: _Scope, set_uid: str) -> Mapping[str, int]:
        """Give the orphans of a set at one provider, as `orphans` does."""
        shown = ((key, scope.entries[key]) for key in scope.grouped.get(set_uid, ()))
        return {
            key: entry.at for key, entry in shown
            if not entry.told and not leaving(entry.instance) and _owner(entry) not in self._uids
        }  # fmt: skip

    def _look_failed(self, provider: str, scope: _Scope, why: Failure, now: int) -> tuple[str, ...]:
        scope.failures += 1
        scope.not_before = now + max(why.retry_after, pause(scope.failures, provider, "look"), SPACING)
        if why.error != "AuthFailed":
            return ()
        was_frozen = scope.frozen is not None
        self._freeze(provider, scope, why.text, now, by_write=False)
        scope.not_before = scope.frozen.until if scope.frozen is not None else scope.not_before
        return () if was_frozen else tuple(self._names.get(provider, ()))

    def _freeze(self, provider: str, scope: _Scope, text: str, now: int, *, by_write: bool) -> None:
        if scope.frozen is not None and text == scope.frozen.text:
            return  # our own refusal, and no word of the provider: whoever tries again is not kept from it
        if scope.frozen is not None and now < scope.frozen.until and not scope.probing:
            return  # it was under way when the scope froze
        scope.freezes, scope.by_write, scope.probing = scope.freezes + 1, by_write, False
        length = min(FIRST_THAW << min(scope.freezes - 1, 10), LONGEST_THAW)
        scope.frozen = FrozenProvider(
            text=f"{provider}: {text}", until=now + spread(length, provider, str(scope.freezes)), at=now
        )

    def _thaw(self, scope: _Scope) -> None:
        scope.frozen, scope.freezes, scope.probing = None, 0, False

    def _judge(self, provider: str, scope: _Scope, look: Look, shown: dict[str, _Entry]) -> None:
        """Note which machines it showed nothing of, and whether they are too many to be true."""
        # What is dead is shown for an hour by some clouds: nobody's instance, and no reason to wait for another.
        owners = {
            entry.instance.tags.get(MACHINE_UID_TAG) for entry in shown.values() if not dead(entry.instance)
        }
        stays = missing = 0
        for name in self._names.get(provider, ()):
            bond = self._bonds[name]
            unknown = bond.id in look.absent or (bond.id in scope.absent and bond.id not in shown)
            absent = bond.uid not in owners and (not bond.id or unknown)
            if bond.step is InstanceStep.TERMINATING and bond.id in look.absent:
                scope.absent[bond.id] = look.began
            (scope.unseen.add if absent else scope.unseen.discard)(name)
            if bond.stays:
                stays += 1
                missing += absent
        scope.doubt = ""
        if doubted(stays, missing):
            scope.doubt = (
                f"{missing} of {stays} instances are missing from one look at provider {provider}, which may be a wrong answer: "
                "see its account, region and rights; where they are gone indeed, delete the Machines with deletionPolicy Release"
            )

    def _state(self, scope: _Scope, name: str) -> object:
        bond = self._bonds[name]
        entry = scope.entries.get(bond.id)
        mine = tuple(scope.entries[key].instance for key in scope.owned.get(bond.uid, ()))
        return (None if entry is None else entry.instance, mine, name in scope.unseen, scope.doubt)

    def _bound(self, provider: str) -> Iterable[_Bond]:
        return (self._bonds[name] for name in self._names.get(provider, ()))

    def _scope(self, provider: str) -> _Scope:
        return self._scopes.setdefault(provider, _Scope())

    def _bind(self, name: str, bond: _Bond | None) -> None:
        before = self._bonds.get(name)
        if before == bond:
            return
        if before is not None:
            del self._bonds[name]
            self._uids.pop(before.uid, None)
            self._names[before.provider].pop(name, None)
            self._holders.get((before.provider, before.id), {}).pop(name, None)
            if bond is None or (bond.provider, bond.id) != (before.provider, before.id):
                self._scope(before.provider).unseen.discard(name)
            if bond is None or bond.uid != before.uid:
                self._answers.pop(before.uid, None)
            elif bond.id != before.id:
                _forget(self._scope(before.provider), before.id)
        if bond is not None:
            self._bonds[name] = bond
            self._uids[bond.uid] = name
            self._names.setdefault(bond.provider, {})[name] = None
            if before is None:
                self.noticed()
            if bond.id:
                self._holders.setdefault((bond.provider, bond.id), {})[name] = None
            if bond.step is InstanceStep.GONE:
                _forget(self._scope(bond.provider), bond.id, told=True)


def _nobody() -> None:
    """Tell nobody."""


def _doubt(provider: str, scope: _Scope) -> str:
    """Say why what the last look showed is no ground to end what is nobody's; empty when it is."""
    return f"the last look at provider {provider} failed" if scope.failures else scope.doubt


def _own(scope: _Scope, one: Instance) -> None:
    owner = one.tags.get(MACHINE_UID_TAG)
    if owner is not None:
        scope.owned.setdefault(owner, {})[one.id] = None
    group = one.tags.get(SET_UID_TAG)
    if group is not None:
        scope.grouped.setdefault(group, {})[one.id] = None


def _forget(scope: _Scope, key: str, *, told: bool = False) -> None:
    """Forget how an instance was seen that its machine has no more: another controller may have proven that it is gone.

    Args:
        scope: of its provider.
        key: its id.
        told: only one that no look has shown; nothing else would ever take it away.
    """
    entry = scope.entries.get(key)
    if entry is None or (told and not entry.told):
        return
    del scope.entries[key]
    for index, tag in ((scope.owned, MACHINE_UID_TAG), (scope.grouped, SET_UID_TAG)):
        index.get(entry.instance.tags.get(tag, ""), {}).pop(key, None)


def _owner(entry: _Entry) -> str:
    return entry.instance.tags.get(MACHINE_UID_TAG, "")


def _bond(machine: Machine) -> _Bond | None:
    status, wanted = machine.status.instance, machine.spec.infrastructure
    if status is not None:
        return _Bond(uid=machine.metadata.uid, provider=status.provider, id=status.id, step=status.step)
    if wanted is None:
        return None
    return _Bond(uid=machine.metadata.uid, provider=wanted.provider, id="", step=None)
