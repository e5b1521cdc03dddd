"""Orphans that a set may terminate: what each condition alone stops, the cap, the hour, and what a crash cannot exceed."""

from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.decision import Decision, TerminateInstance
from kubenode.core.errors import InvalidObjectError
from kubenode.core.health.zones import ZoneTally
from kubenode.core.hookspecs import Instance, InstanceState
from kubenode.core.instance.evidence import ABSENCE
from kubenode.core.instance.seen import (
    MACHINE_TAG,
    MACHINE_UID_TAG,
    MANAGED_TAG,
    SET_UID_TAG,
    FrozenProvider,
    OrphanSight,
    ProviderAnswer,
)
from kubenode.core.instance.turn import due
from kubenode.core.machineset.decide import MachineSetSnapshot, decide
from kubenode.core.machineset.ending import CAP, FRESH, WINDOW
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.policy import Policy
from tests.core.machineset.world import START, World, owner

NONE = Policy()
FIRST = 1_000_000_000
SECOND = FIRST + ABSENCE


def sight(key: str = "i-1", **changes: Any) -> OrphanSight:
    """An orphan of the set against whose end nothing stands."""
    tags = {
        MANAGED_TAG: "true", SET_UID_TAG: "uid-set", MACHINE_UID_TAG: f"uid-of-{key}", MACHINE_TAG: "pool-0",
    }  # fmt: skip
    one = Instance(id=key, state=InstanceState.RUNNING, zone="a", tags=tags, provider_id=f"memory://{key}")
    return attrs.evolve(OrphanSight(instance=one, provider="memory"), **changes)


def retagged(**tags: str) -> OrphanSight:
    """The orphan with other tags."""
    one = sight()
    given = {**one.instance.tags, **{_TAGS[name]: value for name, value in tags.items()}}
    return attrs.evolve(one, instance=attrs.evolve(one.instance, tags=given))


_TAGS = {"managed": MANAGED_TAG, "group": SET_UID_TAG, "machine": MACHINE_UID_TAG}


def record(key: str = "i-1", at: datetime = START, provider: str = "memory") -> m.OrphanEnd:
    """A record of an end."""
    return m.OrphanEnd(provider=provider, id=key, at=at)


def seen(
    *sights: OrphanSight, records: tuple[m.OrphanEnd, ...] = (), looks: tuple[int, int] = (FIRST, SECOND), replicas: int = 0,
    policy: m.OrphanPolicy = m.OrphanPolicy.TERMINATE, **changes: Any,
) -> MachineSetSnapshot:  # fmt: skip
    """What a decider sees when two looks have shown these."""
    one = owner(replicas, orphans=policy)
    one = attrs.evolve(one, status=m.MachineSetStatus(orphans_ended=records))
    ids = [each.instance.id for each in sights]
    given = MachineSetSnapshot(
        set=one, orphans=dict.fromkeys(ids, looks[1]), orphan_sights={each.instance.id: each for each in sights},
        sightings={f"orphan:{key}": looks[0] for key in ids}, now=m.Now(wall=START, elapsed=looks[1]),
    )  # fmt: skip
    return attrs.evolve(given, **changes)


def records(decision: Decision[m.MachineSetStatus]) -> tuple[str, ...]:
    """The ids that the status records."""
    assert decision.status is not None
    return tuple(one.id for one in decision.status.orphans_ended)


def ends(decision: Decision[m.MachineSetStatus]) -> tuple[str, ...]:
    """The ids whose end is asked for now."""
    return tuple(one.instance for one in decision.effects if isinstance(one, TerminateInstance))


def told(decision: Decision[m.MachineSetStatus]) -> tuple[str, str]:
    """Reason and message of condition Orphans."""
    assert decision.status is not None
    said = [one for one in decision.status.conditions if one.type == "Orphans"]
    return (said[0].reason, said[0].message) if said else ("", "")


def frozen(scope: m.Scope, name: str = "", until: datetime | None = None) -> Policy:
    """A policy with one freeze."""
    limit = m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(100))
    spec = m.RiskPolicySpec(
        limits=(limit,), freeze=(m.Freeze(scope=scope, name=name, until=until, reason="a fair"),)
    )
    return Policy(risk=(m.RiskPolicy(metadata=m.ObjectMeta(name="p"), spec=spec),))


class TestTheWay:
    """Recorded first, asked for next, observed by a look."""

    def test_it_is_recorded_first_and_asked_for_when_the_record_stands(self) -> None:
        """Two decisions: no call without an intent that was read."""
        first = decide(seen(sight()), NONE)
        assert (records(first), ends(first)) == (("i-1",), ())
        assert first.status is not None
        assert first.status.orphans_ended == (record(),)
        assert told(first)[0] == "OrphansEnding"
        assert told(first)[1].endswith("; i-1 is terminated next")
        second = decide(seen(sight(), records=(record(),)), NONE)
        (effect,) = second.effects
        assert isinstance(effect, TerminateInstance)
        assert (effect.machine, effect.provider, effect.instance, effect.tries) == (
            m.Ref(kind="MachineSet", name="pool", uid="uid-set"), "memory", "i-1", 0,
        )  # fmt: skip
        assert records(second) == ("i-1",)
        assert told(second)[1].endswith("; i-1 is being terminated")
        again = decide(seen(sight(), records=(record(),), looks=(FIRST, SECOND + 7)), NONE)
        assert again.effects == second.effects, "the op-id is of the instance, whoever asks"

    def test_a_set_that_reports_touches_nothing(self) -> None:
        """Report is the default, also while a record of before stands."""
        for stand in ((), (record(),)):
            decision = decide(seen(sight(), records=stand, policy=m.OrphanPolicy.REPORT), NONE)
            assert (ends(decision), records(decision)) == ((), tuple(one.id for one in stand))
            assert told(decision)[0] == "OrphansFound"
            assert "nothing is done to them: terminate them at the provider" in told(decision)[1]
        assert owner().spec.orphans is m.OrphanPolicy.REPORT

    def test_two_looks_a_minute_apart(self) -> None:
        """One nanosecond less is one look."""
        for records_of in ((), (record(),)):
            less = decide(seen(sight(), records=records_of, looks=(FIRST, SECOND - 1)), NONE)
            assert (ends(less), told(less)) == ((), ("", ""))
            assert records(less) == tuple(one.id for one in records_of)

    def test_only_one_at_a_time(self) -> None:
        """As long as a look shows the one that was asked for, no other is chosen, whatever its number."""
        done = attrs.evolve(sight("i-2"), answer=answer("i-2"))
        decision = decide(seen(sight(), done, records=(record("i-2"),)), NONE)
        assert (ends(decision), records(decision)) == ((), ("i-2",))
        assert told(decision)[1].endswith("; i-2 is being terminated")
        late = seen(sight(), sight("i-2"), records=(record("i-2"),))
        late = attrs.evolve(late, sightings={"orphan:i-1": FIRST})
        waits = decide(late, NONE)
        assert (ends(waits), records(waits)) == ((), ("i-2",))
        assert told(waits)[1].endswith("i-2 has to be shown by another look first")
        other = decide(seen(sight(), records=(record("i-1", provider="other"),)), NONE)
        assert records(other) == ("i-1", "i-1"), "it is another provider's"

    def test_of_several_the_first_that_nothing_bars(self) -> None:
        """One that a Node runs on keeps no other."""
        decision = decide(seen(sight(node="n1"), sight("i-3"), sight("i-2")), NONE)
        assert records(decision) == ("i-2",)

    def test_what_is_not_shown_any_more_is_forgotten_after_the_hour(self) -> None:
        """And until then it counts."""
        end = SECOND // 1000 * 1000 + nanoseconds(WINDOW)
        before = decide(seen(records=(record(),)), NONE)
        assert (records(before), before.wake_at, before.sightings) == (
            ("i-1",),
            end,
            {"ended:memory/i-1": end},
        )
        known = {"ended:memory/i-1": end}
        last = decide(
            seen(records=(record(),), sightings=known, now=m.Now(wall=START + WINDOW, elapsed=end - 1)), NONE
        )
        assert records(last) == ("i-1",), "the wall clock alone does not end the hour"
        over = decide(
            seen(records=(record(),), sightings=known, now=m.Now(wall=START + WINDOW, elapsed=end)), NONE
        )
        assert (records(over), over.wake_at, over.sightings) == ((), None, {})
        early = m.Now(wall=START, elapsed=end)
        assert records(decide(seen(records=(record(),), sightings=known, now=early), NONE)) == ("i-1",)


def answer(key: str = "i-1", error: str = "", at: int = SECOND, **changes: Any) -> ProviderAnswer:
    """What a provider answered to the end of one."""
    effect = decide(seen(sight(key), records=(record(key),)), NONE).effects[0]
    assert isinstance(effect, TerminateInstance)
    return ProviderAnswer(
        op_id=effect.op_id, at=at, error=error, text="it says so" if error else "", **changes
    )


class TestAnswers:
    """What a provider says, and what a lost answer means."""

    @pytest.mark.parametrize("error", ["", "NotFound"])
    def test_what_is_done_is_not_asked_for_again(self, error: str) -> None:
        """However late the look is that shows it still."""
        late = SECOND + 10**15
        decision = decide(
            seen(sight(answer=answer(error=error)), records=(record(),), looks=(FIRST, late)), NONE
        )
        assert (ends(decision), told(decision)[0]) == ((), "OrphansEnding")

    @pytest.mark.parametrize("error", ["Ambiguous", "Throttled", "Unavailable", "Busy"])
    def test_another_is_asked_for_again_after_a_look(self, error: str) -> None:
        """The same instance under the same op-id, and never before a look that began when the pause was over."""
        said = answer(error=error, tries=2)
        early = decide(seen(sight(answer=said), records=(record(),), looks=(FIRST, due(said) - 1)), NONE)
        assert (ends(early), told(early)[0]) == ((), "OrphansHeld")
        assert told(early)[1].endswith(f"if a look still shows it: {error}: it says so")
        again = decide(seen(sight(answer=said), records=(record(),), looks=(FIRST, due(said))), NONE)
        (effect,) = again.effects
        assert isinstance(effect, TerminateInstance)
        assert (effect.op_id, effect.tries) == (said.op_id, 2)

    @pytest.mark.parametrize("error", ["Protected", "AuthFailed", "Unsupported", "Invalid"])
    def test_what_a_person_has_to_mend_is_asked_for_again_in_an_hour(self, error: str) -> None:
        """Each look would be a call else, for ever."""
        said = answer(error=error)
        hour = said.at + 3600 * 10**9
        for at, act in ((hour - 1, ()), (hour, ("i-1",))):
            decision = decide(seen(sight(answer=said), records=(record(),), looks=(FIRST, at)), NONE)
            assert ends(decision) == act

    def test_a_provider_that_takes_no_credentials_is_left_alone(self) -> None:
        """Until one call may try again; then it is decided anew."""
        until = SECOND + 10**9
        one = sight(frozen=FrozenProvider(text="memory: expired", until=until))
        for stand in ((), (record(),)):
            held = decide(seen(one, records=stand), NONE)
            assert (ends(held), records(held)) == ((), tuple(x.id for x in stand))
            assert (held.wake_at, "i-1: memory: expired" in told(held)[1]) == (until, True)
        for elapsed, act in ((until - 1, ()), (until, ("i-1",))):
            late = m.Now(wall=START, elapsed=elapsed)
            assert ends(decide(seen(one, records=(record(),), now=late), NONE)) == act

    def test_an_answer_to_another_end_is_none_to_this(self) -> None:
        """The last answer of a set is kept alone."""
        decision = decide(seen(sight(answer=answer("i-2")), records=(record(),)), NONE)
        assert ends(decision) == ("i-1",)

    def test_an_old_record_is_written_anew_before_the_call(self) -> None:
        """It tells when the provider was asked: else three of the hour before and three more could end at once."""
        for late, act in ((FRESH, True), (FRESH + timedelta(microseconds=1), False)):
            now = m.Now(wall=START + late, elapsed=SECOND)
            one = record("i-0", at=START + late)
            decision = decide(seen(sight(), records=(one, record()), now=now), NONE)
            assert ends(decision) == (("i-1",) if act else ())
            assert decision.status is not None
            assert decision.status.orphans_ended == (one, record(at=START if act else START + late))
            assert told(decision)[0] == "OrphansEnding"


OFF: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("another set's", {"one": retagged(group="uid-other")}, "do not say that it was made for this set"),
    ("not ours", {"one": retagged(managed="false")}, "do not say that it was made for this set"),
    ("nobody's", {"one": retagged(machine="")}, f"i-1: it bears no tag {MACHINE_UID_TAG}"),
    ("no providerID", {"one": attrs.evolve(sight(), instance=attrs.evolve(sight().instance, provider_id=""))},
     "i-1: provider memory tells no providerID of it"),
    ("a doubtful look", {"one": sight(doubt="the last look failed")}, "i-1: the last look failed"),
    ("a Machine", {"one": sight(machine="m1")}, "i-1: Machine m1 says that it has it"),
    ("a Node", {"one": sight(node="n1")}, "i-1: Node n1 runs on it, or may"),
    ("nothing known", {"orphan_sights": {}}, "i-1 has to be shown by another look first"),
)  # fmt: skip


class TestWhatStops:
    """Each condition alone: nothing is recorded, and what stands is not asked for."""

    @pytest.mark.parametrize("stands", [False, True])
    @pytest.mark.parametrize(("given", "why"), [pytest.param(*row[1:], id=row[0]) for row in OFF])
    def test_of_the_instance(self, given: dict[str, Any], why: str, *, stands: bool) -> None:
        """What it bears, who has it, and how it was seen."""
        changes = {**given}
        one = changes.pop("one", sight())
        records_of = (record(),) if stands else ()
        decision = decide(seen(one, records=records_of, **changes), NONE)
        assert (ends(decision), records(decision)) == ((), tuple(x.id for x in records_of))
        reason, message = told(decision)
        assert (reason, why in message, "none is terminated now: " in message) == ("OrphansHeld", True, True)
        assert decision.deferred
        assert [(note.code, note.scope) for note in decision.notes if note.code == "OrphansHeld"] == [
            ("OrphansHeld", "machineset=pool")
        ]

    @pytest.mark.parametrize("state", [InstanceState.DELETING, InstanceState.TERMINATED])
    def test_one_that_ends(self, state: InstanceState) -> None:
        """It is asked for once."""
        one = sight()
        one = attrs.evolve(one, instance=attrs.evolve(one.instance, state=state))
        decision = decide(seen(one, records=(record(),)), NONE)
        assert (ends(decision), "its end has begun" in told(decision)[1]) == ((), True)

    @pytest.mark.parametrize(
        ("scope", "name", "stops"),
        [
            (m.Scope.CLUSTER, "", True), (m.Scope.ZONE, "a", True), (m.Scope.ZONE, "b", False), (m.Scope.REGION, "eu", True),
            (m.Scope.SET, "kubelet", True), (m.Scope.NODE, "pool-0", True), (m.Scope.NODE, "pool-1", False),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("stands", [False, True])
    def test_a_freeze(self, scope: m.Scope, name: str, *, stops: bool, stands: bool) -> None:
        """Of what it may be in; its region and its sets nobody knows."""
        records_of = (record(),) if stands else ()
        decision = decide(seen(sight(), records=records_of), frozen(scope, name))
        assert ends(decision) == (() if stops or not stands else ("i-1",))
        assert records(decision) == (() if stops and not stands else ("i-1",))
        assert (told(decision)[0] == "OrphansHeld") is stops

    def test_a_freeze_ends_by_both_clocks(self) -> None:
        """It is decided anew then, and not before."""
        policy = frozen(m.Scope.CLUSTER, until=START + timedelta(minutes=1))
        held = decide(seen(sight()), policy)
        end = SECOND // 1000 * 1000 + nanoseconds(timedelta(minutes=1))
        assert (records(held), held.wake_at) == ((), end)
        wall = START + timedelta(minutes=1)
        for elapsed, chosen in ((end - 1, ()), (end, ("i-1",))):
            now = m.Now(wall=wall, elapsed=elapsed)
            decision = decide(seen(sight(), sightings=dict(held.sightings), now=now), policy)
            assert records(decision) == chosen
        node = decide(seen(sight(node="n1")), policy)
        assert node.wake_at is None, "it is not what bars it"
        assert set(node.sightings) == {"orphan:i-1"}
        both = decide(seen(sight(node="n1"), sight("i-2")), policy)
        assert (both.wake_at, "; none is terminated now: i-1: Node n1 runs" in told(both)[1]) == (end, True)

    def test_of_several_freezes_the_last_to_end_is_named(self) -> None:
        """One without an end before all."""
        one, two = frozen(m.Scope.CLUSTER, until=START + timedelta(minutes=1)), frozen(m.Scope.ZONE, "a")
        decision = decide(seen(sight()), Policy(risk=(*one.risk, *two.risk)))
        assert "zone a: frozen until a person ends it" in told(decision)[1]

    def test_a_breaker(self) -> None:
        """A zone that is out."""
        policy = Policy(risk=(m.RiskPolicy(metadata=m.ObjectMeta(name="p"), spec=m.RiskPolicySpec()),))
        out = {"a": ZoneTally(nodes=10, not_ready=9), "b": ZoneTally(nodes=10, not_ready=0)}
        held = decide(seen(sight(), zones=out), policy)
        assert (records(held), "zone a: 9 of 10 not ready" in told(held)[1]) == ((), True)
        assert records(decide(seen(sight(), zones={"b": out["a"], "a": out["b"]}), policy)) == ("i-1",)

    @pytest.mark.parametrize(("replicas", "most"), [(0, 5), (59, 5), (60, 6), (200, 20)])
    def test_too_many_at_once(self, replicas: int, most: int) -> None:
        """Shown at all, be it by one look: a restored backup makes orphans of all."""
        for count in (most, most + 1):
            given = seen(*[sight(f"i-{number:03}") for number in range(count)], replicas=replicas)
            given = attrs.evolve(given, sightings={"orphan:i-000": FIRST})
            decision = decide(given, NONE)
            assert records(decision) == (("i-000",) if count == most else ())
            if count > most:
                assert f"{count} at once are more than the {most} that are borne" in told(decision)[1]
                assert "look at each, and terminate it at the provider" in told(decision)[1]
                given = attrs.evolve(
                    given,
                    set=attrs.evolve(given.set, status=m.MachineSetStatus(orphans_ended=(record("i-000"),))),
                )
                assert ends(decide(given, NONE)) == ()

    def test_a_mass_delete(self) -> None:
        """Until a person has acknowledged it."""
        for acknowledged, held in ((2, True), (3, False)):
            given = seen(sight(), records=(record(),))
            one = attrs.evolve(
                given.set, spec=attrs.evolve(given.set.spec, acknowledged_losses=acknowledged),
                status=attrs.evolve(given.set.status, lost=3),
            )  # fmt: skip
            decision = decide(attrs.evolve(given, set=one), NONE)
            assert ends(decision) == (() if held else ("i-1",))
            assert ("more machines are lost" in told(decision)[1]) is held

    def test_a_set_that_leaves_or_that_a_newer_version_wrote(self) -> None:
        """Nothing is asked for in its name."""
        given = seen(sight(), records=(record(),))
        for change in ({"deletion_timestamp": START}, {"unknown": ("spec.new",)}, {"finalizers": ()}):
            one = attrs.evolve(given.set, metadata=attrs.evolve(given.set.metadata, **change))
            assert ends(decide(attrs.evolve(given, set=one), NONE)) == ()


class TestTheCap:
    """Three in an hour, counted from what stands in the status."""

    def test_the_fourth_waits_for_the_hour(self) -> None:
        """The oldest record says when."""
        given = tuple(record(f"i-0{number}", at=START + timedelta(minutes=number)) for number in range(CAP))
        held = decide(seen(sight(), records=given), NONE)
        end = SECOND // 1000 * 1000 + nanoseconds(WINDOW)
        assert (len(records(held)), held.wake_at, told(held)[0]) == (CAP, end, "OrphansHeld")
        assert told(held)[1].endswith("3 were terminated within an hour, limit 3; the next one waits")
        now = m.Now(wall=START + WINDOW, elapsed=end)
        sightings = {**held.sightings}
        free = decide(seen(sight(), records=given, sightings=sightings, now=now), NONE)
        assert records(free) == ("i-01", "i-02", "i-1")
        room = decide(seen(sight(), records=given[1:]), NONE)
        assert records(room) == ("i-01", "i-02", "i-1")

    def test_the_limits(self) -> None:
        """As the docs tell them: the record counts for as long after the hour as it may stand before the call."""
        assert (3, timedelta(minutes=5), timedelta(minutes=65)) == (CAP, FRESH, WINDOW)

    def test_one_that_is_shown_when_its_hour_is_over_keeps_the_others_waiting(self) -> None:
        """Its record stays as long as looks show it, and does not count."""
        now = m.Now(wall=START + WINDOW, elapsed=SECOND)
        known = {"orphan:i-1": FIRST, "orphan:i-2": FIRST}
        one = sight("i-2", answer=answer("i-2"))
        given = seen(sight(), one, records=(record("i-2"),), now=now, sightings=known)
        decision = decide(given, NONE)
        assert (ends(decision), records(decision), decision.wake_at) == ((), ("i-2",), None)
        full = tuple(record(f"i-0{number}", at=START + WINDOW) for number in range(CAP - 1))
        room = decide(seen(sight(), records=(record("i-9"), *full), now=now), NONE)
        assert records(room) == ("i-00", "i-01", "i-1")

    def test_the_one_that_is_recorded_is_no_fourth(self) -> None:
        """The cap is for the choice: a lost answer asks again for the same one."""
        given = (record("i-01"), record("i-02"), record())
        assert ends(decide(seen(sight(), records=given), NONE)) == ("i-1",)

    def test_a_record_of_the_future_counts(self) -> None:
        """A clock that went back gives no room."""
        given = tuple(record(f"i-0{number}", at=START + timedelta(days=1)) for number in range(CAP))
        assert len(records(decide(seen(sight(), records=given), NONE))) == CAP


@pytest.mark.parametrize("policy", list(m.OrphanPolicy))
@pytest.mark.parametrize("deletion", list(m.DeletionPolicy))
def test_what_is_let_go_is_no_orphan_to_terminate(policy: m.OrphanPolicy, deletion: m.DeletionPolicy) -> None:
    """A template that releases is refused beside Terminate."""
    template = {
        "labels": {"a": "b"}, "spec": {"infrastructure": {"provider": "p"}, "deletionPolicy": deletion.value},
    }  # fmt: skip
    raw = {
        "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineSet", "metadata": {"name": "pool"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template, "orphans": policy.value},
    }  # fmt: skip
    if policy is m.OrphanPolicy.TERMINATE and deletion is m.DeletionPolicy.RELEASE:
        with pytest.raises(InvalidObjectError, match=r"spec\.orphans: cannot be Terminate while"):
            wire.load(raw)
    else:
        assert wire.load(raw).spec.orphans is policy


def test_nothing_is_terminated_but_what_two_looks_have_shown_as_nobodys() -> None:
    """The property below, once by hand: a Machine that is there again a look before stops it."""
    assert ends(decide(seen(records=(record(),)), NONE)) == ()


FEW = st.lists(st.sampled_from(["i-0", "i-1", "i-2", "i-3", "i-4"]), max_size=2)
LOOK = st.fixed_dictionaries({
    "hidden": FEW, "owned": FEW, "pause": st.sampled_from([0, 1, 5, 5, 12]), "crash": st.sampled_from([False, False, True]),
    "error": st.sampled_from(["", "", "", "Ambiguous", "Protected"]), "done": st.booleans(),
})  # fmt: skip


@given(looks=st.lists(LOOK, min_size=10, max_size=40))
def test_whatever_looks_show_one_in_use_is_never_terminated_and_never_more_than_three_an_hour(
    looks: list[dict[str, Any]],
) -> None:
    """Machines come back, looks show less, answers are lost, processes crash after the call; the status is all that stays."""
    world = World(set=owner(0, orphans=m.OrphanPolicy.TERMINATE))
    sightings: dict[str, int] = {}
    said: ProviderAnswer | None = None
    asked: list[tuple[datetime, str]] = []
    shows: dict[str, list[tuple[int, bool]]] = {}
    left = {f"i-{number}" for number in range(5)}
    for look in looks:
        world.later(minutes=look["pause"])
        at = world.now.elapsed
        free = sorted(left - set(look["hidden"]) - set(look["owned"]))
        for key in left:
            shows.setdefault(key, []).append((at, key in free))
        for _ in range(3):
            given = world.snapshot(
                orphans=dict.fromkeys(free, at), sightings=sightings,
                orphan_sights={key: sight(key, answer=said) for key in free},
            )  # fmt: skip
            decision = decide(given, NONE)
            sightings = dict(decision.sightings)
            calls = [one for one in decision.effects if isinstance(one, TerminateInstance)]
            world.apply(given.set, attrs.evolve(decision, effects=()))
            for call in calls:
                assert call.instance in {one.id for one in given.set.status.orphans_ended}
                _shown_twice(shows[call.instance])
                asked.append((world.now.wall, call.instance))
                said = ProviderAnswer(op_id=call.op_id, at=at, error=look["error"])
                if not look["error"] or (look["done"] and look["error"] == "Ambiguous"):
                    left.discard(call.instance)
            assert len(calls) <= 1
            if look["crash"]:
                sightings, said = {}, None
    for when, _ in asked:
        within = {key for then, key in asked if when <= then <= when + timedelta(hours=1)}
        assert len(within) <= 3


def _shown_twice(shown: list[tuple[int, bool]]) -> None:
    """The looks up to now end in a row of such that showed it as nobody's, a minute long at least."""
    row: list[int] = []
    for at, free in reversed(shown):
        if not free:
            break
        row.append(at)
    assert row
    assert row[0] - row[-1] >= ABSENCE
