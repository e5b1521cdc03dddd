"""The risk decider's numbers and texts, row by row, where a number one off would go unseen elsewhere."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from kubenode.core.model import Cause, Hold, RiskLedgerStatus, RiskPolicy, Scope, SuccessGate
from kubenode.core.model.risk import CLOSED_LIMIT, HOLD_LIMIT, SCOPE_LIMIT, RepairWidth
from kubenode.core.policy import Policy
from kubenode.core.review import Allow, Deny, Narrow, Reviewed
from kubenode.core.risk import ledger
from kubenode.core.risk.asks import in_order
from kubenode.core.risk.decide import NOTE_LIMIT, decide
from kubenode.core.risk.objections import objection
from kubenode.core.risk.reach import named
from kubenode.core.risk.refusal import stop
from kubenode.core.risk.storm import storms
from kubenode.core.risk.success import SLACK, Outcome, shut
from kubenode.core.risk.width import Evidence, evidence, narrow
from kubenode.core.risk.window import FULL, RESOLUTIONS, SECOND, Counts, added, pruned, read, write
from tests.core.risk.builders import (
    AGE,
    FREE,
    START,
    ask,
    codes,
    granted,
    hold,
    ledger_of,
    limit,
    now_at,
    policy_of,
    world,
)

HOUR = timedelta(hours=1)


def test_the_bounds_of_a_ledger_are_what_they_are() -> None:
    """A million characters, a thousand permits, 134 scopes each, 4,096 counted; thirty seconds for an owner."""
    assert (ledger.LEDGER_SIZE, HOLD_LIMIT, SCOPE_LIMIT, CLOSED_LIMIT) == (1_000_000, 1000, 134, 4096)
    assert ledger.GRACE == 30 * SECOND
    assert (64, timedelta(minutes=1), 10**9, 4_611_686_018_427_387_904) == (NOTE_LIMIT, SLACK, SECOND, FULL)
    assert [(one.letter, one.size // SECOND, one.buckets) for one in RESOLUTIONS] == [
        ("s", 10, 7),
        ("m", 60, 61),
        ("h", 3600, 25),
    ]


def test_a_scope_is_spelled_for_people_once() -> None:
    """Only the first sign parts kind and name."""
    assert [named(scope) for scope in ("cluster", "zone=b", "set=a=b")] == ["cluster", "zone b", "set a=b"]
    assert (stop("X", "cluster", "x").observed, stop("X", "cluster", "x").limit) == (0, 0)


# Who asks.


def test_of_one_permit_who_holds_outdoes_who_waits_and_the_first_who_holds_stays() -> None:
    """Whatever their turn."""
    waits = ask("op", "m1", cause=Cause.REMEDY)
    first, second = ask("op", "m2", waiting=False), ask("op", "m3", waiting=False)
    for asks in ((waits, first), (first, waits)):
        assert in_order(asks) == (first,)
    assert in_order((second, first, waits)) == (first,)
    assert in_order((attrs.evolve(waits, machine=second.machine), waits)) == (waits,)


def test_who_runs_on_one_machine_twice_is_counted_once_where_nothing_was_lost() -> None:
    """In the first ledger of a cluster: one permit, one start."""
    book = ledger_of(checkpoint=0)
    seen = world(
        ask("r1", "m", waiting=False), ask("r2", "m", waiting=False), ask("new"), ledger=book, history=False
    )
    assert granted(decide(seen, policy_of(limit(Scope.CLUSTER, 2, HOUR)))) == ["r1", "new"]


def remedy_hold(name: str) -> Hold:
    """A permit of a remedy whose owner is nowhere."""
    return attrs.evolve(hold(name), cause=Cause.REMEDY)


def test_a_rollouts_permit_is_no_remedy_in_flight() -> None:
    """It says nothing of how wide a remedier may act; a remedy's of which nobody knows whose it is does."""
    new = ask("new", cause=Cause.REMEDY, remedier="r")
    assert granted(decide(world(new, ledger=ledger_of(hold("x"))), FREE)) == ["x", "new"]
    assert codes(decide(world(new, ledger=ledger_of(remedy_hold("x"))), FREE)) == ["Unproven"]


def test_evidence_binds_remedies_alone() -> None:
    """A rollout goes on beside a remedy that nobody owns."""
    assert granted(decide(world(ask("new"), ledger=ledger_of(remedy_hold("x"))), FREE)) == ["x", "new"]


@pytest.mark.parametrize("count", [1, 4, 6])
def test_at_most_four_unknown_fields_are_named(count: int) -> None:
    """Of a policy, and of the ledger."""
    fields = tuple(f"spec.x{number}" for number in range(count))
    policy = Policy(
        risk=(attrs.evolve(FREE.risk[0], metadata=attrs.evolve(FREE.risk[0].metadata, unknown=fields)),)
    )
    for decision in (
        decide(world(ask("a")), policy),
        decide(world(ask("a"), ledger=ledger_of(unknown=fields)), FREE),
    ):
        (note,) = decision.notes
        assert note.text.count("spec.x") == min(count, 4)


def test_a_busy_machine_is_one_of_one() -> None:
    """Who has it is named."""
    (note,) = decide(
        world(ask("new", "m"), ask("old", "m", waiting=False), ledger=ledger_of(hold("old", "m"))), FREE
    ).notes
    assert (note.code, note.observed, note.limit, note.text) == (
        "MachineBusy",
        1,
        1,
        "m: old has the machine",
    )


def test_a_scope_that_cannot_be_counted_stays_so_after_a_grant_in_it() -> None:
    """What a person forces is granted; the next ask is refused as before."""
    book = ledger_of(closed={"cluster": "by hand"})
    seen = world(ask("forced", cause=Cause.HUMAN), ask("new"), ledger=book)
    decision = decide(seen, policy_of(limit(Scope.CLUSTER, 5, HOUR)))
    assert (granted(decision), codes(decision)) == (["forced"], ["CountUnreadable"])


# The ledger.


def filled(missing: int) -> RiskLedgerStatus:
    """Give a ledger that has room for one more `hold("new")`, and so many characters more, its record included."""
    granted_one = decide(world(ask("new")), FREE).status
    assert granted_one is not None
    weight = ledger.weight(granted_one.holds[0])
    rest = ledger.LEDGER_SIZE - weight - missing - ledger.size(RiskLedgerStatus(closed={"zone=x": ""}))
    return RiskLedgerStatus(checkpoint=AGE, closed={"zone=x": "x" * rest})


@pytest.mark.parametrize(("missing", "fits"), [(1, True), (0, True), (-1, False)])
def test_a_ledger_is_filled_to_its_size_and_no_further(missing: int, fits: bool) -> None:
    """To the character."""
    status = filled(missing)
    decision = decide(world(ask("new"), ledger=attrs.evolve(ledger_of(), status=status)), FREE)
    assert codes(decision) == ([] if fits else ["LedgerFull"])


@pytest.mark.parametrize(("closed", "fits"), [(CLOSED_LIMIT - 4, True), (CLOSED_LIMIT - 3, False)])
def test_a_ledger_counts_so_many_scopes_and_no_more(closed: int, fits: bool) -> None:
    """An ask adds four here: cluster, region, zone and set."""
    book = ledger_of(closed={f"set=s{number}": "h:100=1" for number in range(closed)})
    assert codes(decide(world(ask("new"), ledger=book), FREE)) == ([] if fits else ["LedgerFull"])


@pytest.mark.parametrize(("sets", "fits"), [(SCOPE_LIMIT - 3, True), (SCOPE_LIMIT - 2, False)])
def test_a_permit_has_so_many_scopes_and_no_more(sets: int, fits: bool) -> None:
    """Three are no sets."""
    new = ask("new", sets=tuple(f"s{number}" for number in range(sets)))
    assert codes(decide(world(new), FREE)) == ([] if fits else ["LedgerFull"])


def test_what_a_ledger_weighs() -> None:
    """A row: 200, its texts, 4 for each change that it was granted for, and for each scope twice its name and 64 for a counter; 4 a storm, 8 a count."""
    one = Hold(
        op_id="o" * 10,
        machine="m" * 5,
        machine_uid="u" * 20,
        cause=Cause.ROLLOUT,
        scopes=("cluster", "zone=a"),
        since=1,
    )
    assert ledger.weight(one) == 200 + 35 + 4 + (2 * 7 + 64) + (2 * 6 + 64)
    status = RiskLedgerStatus(holds=(one,), storms=("a", "bc"), closed={"cluster": "h:0=3"})
    assert ledger.size(status) == ledger.weight(one) + (1 + 4) + (2 + 4) + (7 + 5 + 8)


def test_a_counter_of_which_nothing_is_left_goes_when_a_hold_is_closed() -> None:
    """The old text does not stay in its place."""
    old = hold("old", since=SECOND)
    status = RiskLedgerStatus(checkpoint=AGE, holds=(old,), closed={"cluster": "h:0=3", "zone=z": "h:0=3"})
    closed = ledger.close(status, {"old"}, 400 * 3600 * SECOND)
    assert dict(closed.closed) == {"zone=z": "h:0=3"}


@pytest.mark.parametrize(
    ("since", "checkpoint", "told"), [(2, 1, True), (1, 1, False), (2, 2, False), (3, 2, True), (2, 0, False)]
)
def test_no_permit_is_younger_than_the_ledger(since: int, checkpoint: int, told: bool) -> None:
    """But in one that was never written, which says nothing of time."""
    status = RiskLedgerStatus(checkpoint=checkpoint, holds=(hold("x", since=since),))
    assert bool(ledger.spoilt(status)) is told


def test_an_open_permit_counts_in_its_own_scopes() -> None:
    """Nowhere else, and for its window."""
    status = RiskLedgerStatus(checkpoint=AGE, holds=(hold("x", since=AGE - 5),))
    found = {
        scope: ledger.usage(status, scope, HOUR, AGE)
        for scope in ("cluster", "zone=a", "zone=b", "set=kubelet", "set=x")
    }
    assert found == {"cluster": 1, "zone=a": 1, "zone=b": 0, "set=kubelet": 1, "set=x": 0}


# Counters.


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        ("h:0=3", True), ("m:5=1;h:0=3", True), ("s:1=2;m:5=1;h:0=3", False), ("s:1=1", False), ("m:1=1", False), ("", False),
        ("s:" + ",".join(f"{n}=1" for n in range(7)) + ";m:1=7;h:0=7", True),
        ("s:" + ",".join(f"{n}=1" for n in range(8)) + ";m:1=8;h:0=8", False),
    ],
)  # fmt: skip
def test_what_is_read_of_a_counter(text: str, readable: bool) -> None:
    """A grant leaves the finest row first; a row has no more buckets than are kept."""
    assert (read(text).unreadable is None) is readable


def test_a_counter_that_is_used_all_the_time_stays_readable() -> None:
    """As many buckets are kept as may be read, of each size."""
    counts = Counts()
    for number in range(30 * 360):
        counts = added(counts, number * 10 * SECOND)
    kept = pruned(counts, 30 * 3600 * SECOND - 1)
    assert [len(row) for row in kept.rows] == [7, 61, 25]
    assert read(write(kept)) == kept


@pytest.mark.parametrize(
    ("counted", "then"), [(999_999_997, 999_999_998), (999_999_998, 999_999_999), (999_999_999, 999_999_999)]
)
def test_a_counter_stops_where_its_text_would_grow(counted: int, then: int) -> None:
    """Nine digits, which can be read again."""
    text = f"s:0={counted};m:0={counted};h:0={counted}"
    after = write(added(read(text), 0))
    assert after == f"s:0={then};m:0={then};h:0={then}"
    assert read(after).unreadable is None


def test_who_says_no_age_is_served_last() -> None:
    """After all who do, of one cause, whatever they say."""
    old, young = ask("old", since=datetime.min.replace(tzinfo=UTC)), ask("young", since=START)
    assert in_order((ask("ageless", since=None), young, old)) == (old, young, ask("ageless", since=None))


# Gates and evidence.


def outcomes(good: int, bad: int, seconds: int = -10) -> tuple[Outcome, ...]:
    """Give remedies that ended so many seconds from the beginning."""
    at = START + timedelta(seconds=seconds)
    return tuple(Outcome(ended_at=at, succeeded=number < good, remedier="r") for number in range(good + bad))


GATE = SuccessGate(window=HOUR, min_attempts=4, min_percent=50)


def test_a_success_that_lies_ahead_counts_once_when_it_comes() -> None:
    """Two of six are too few then; the gate opens when the failures leave."""
    found = shut(GATE, outcomes(0, 4) + outcomes(2, 0, 90), now_at())
    assert found is not None
    assert (found.changes_at, found.note.frees_at) == (90 * SECOND, (3600 - 10 + 60) * SECOND)


def test_what_comes_as_another_leaves_changes_nothing() -> None:
    """One success leaves when one that lay ahead arrives: the numbers stay."""
    found = shut(GATE, outcomes(1, 4, -3590) + outcomes(1, 0, 10), now_at())
    assert found is not None
    assert found.changes_at == 70 * SECOND


def test_shares_are_in_hundredths() -> None:
    """A hundred of 201 are less than half; at least half of two hundred may fail."""
    found = shut(GATE, outcomes(100, 101), now_at())
    assert found is not None
    assert (found.note.observed, found.note.limit) == (101, 100)
    assert shut(GATE, outcomes(101, 101), now_at()) is None
    assert shut(attrs.evolve(GATE, min_percent=100), outcomes(199, 1), now_at()) is not None


DAY = RepairWidth(first=1, window=timedelta(hours=24))


def proven(*ago: int) -> Evidence:
    """Give the evidence of repairs that were proven so many seconds ago."""
    ends = (Outcome(ended_at=START - timedelta(seconds=each), succeeded=True, remedier="r") for each in ago)
    return evidence(DAY, "r", ends, now_at())


def test_what_has_begun_to_count_is_no_change() -> None:
    """The next is the end of the first of them."""
    found = narrow(proven(20, 10), "r", 3, now_at())
    assert found is not None
    assert (found.note.limit, found.changes_at, found.note.frees_at) == (3, (86_400 - 20) * SECOND, None)


def test_a_repair_that_lies_ahead_frees_when_it_comes() -> None:
    """If it makes room; one that has come and gone does not."""
    found = narrow(proven(-5, -9), "r", 2, now_at())
    assert found is not None
    assert (found.note.limit, found.changes_at, found.note.frees_at) == (1, 5 * SECOND, 9 * SECOND)
    past = narrow(proven(86_500, 86_501, 86_502), "r", 2, now_at())
    assert past is not None
    assert (past.note.limit, past.changes_at, past.note.frees_at) == (1, None, None)


def test_one_comes_as_another_leaves() -> None:
    """Then the numbers stay, and the change is the next."""
    found = narrow(proven(86_390, -10), "r", 2, now_at())
    assert found is not None
    assert (found.note.limit, found.changes_at) == (2, (86_400 + 10) * SECOND)


def test_a_zone_that_nobody_limits_does_not_cool_down() -> None:
    """Without a policy there is no cooldown; the record goes at once."""
    found = storms(("a",), {}, (), now_at(), {})
    assert (found.recorded, dict(found.cooling), dict(found.sightings)) == ((), {}, {"well:a": 0})


# Reviewers.


@pytest.mark.parametrize(
    ("until", "again", "frees", "asked"),
    [(START, 50, 50, False), (START, 10, None, True), (START, 9, None, True), (None, 50, None, False), (None, 5, None, True), (START, None, None, False)],
)  # fmt: skip
def test_when_a_veto_frees(until: datetime | None, again: int | None, frees: int | None, asked: bool) -> None:
    """At its end, when it is asked again; without an end, or once it is out of date, nobody knows."""
    note = objection(Reviewed(reviewer="x", review=Deny(reason="no", until=until), again=again), 0, 10)
    assert note is not None
    assert (note.frees_at, note.text.endswith("; it is asked again")) == (frees, asked)


def test_an_objection_that_is_out_of_date_gives_way_to_one_that_stands() -> None:
    """So nothing changes at the moment at which it becomes so; alone it still stands."""
    veto = Reviewed(reviewer="x", review=Deny(reason="late", until=START), again=5 * SECOND)
    width = Reviewed(reviewer="y", review=Narrow(in_flight=0, reason="fair"))
    for order in ((veto, width), (width, veto)):
        for elapsed in (5 * SECOND - 1, 5 * SECOND):
            decision = decide(world(ask("a"), reviews={"a": order}, elapsed=elapsed), FREE)
            assert (decision.notes[0].scope, decision.wake_at) == ("reviewer y", None)
    alone = decide(world(ask("a"), reviews={"a": (veto,)}, elapsed=5 * SECOND), FREE)
    assert (alone.notes[0].scope, alone.wake_at) == ("reviewer x", None)


def test_of_policies_the_gate_that_opens_last_is_named() -> None:
    """Whatever their order."""
    short, long = (
        RiskPolicy(
            metadata=attrs.evolve(FREE.risk[0].metadata, name=name),
            spec=attrs.evolve(FREE.risk[0].spec, success_gate=attrs.evolve(GATE, window=window)),
        )
        for name, window in (("a", HOUR), ("b", 2 * HOUR))
    )
    for risk in ((short, long), (long, short)):
        decision = decide(world(ask("r", cause=Cause.REMEDY), outcomes=outcomes(0, 4)), Policy(risk=risk))
        assert "within 2h" in decision.notes[0].text


@pytest.mark.parametrize("again", [None, 5, 10, 50])
def test_an_allow_is_no_objection_however_old(again: int | None) -> None:
    """Only a veto is asked again."""
    answer = Reviewed(reviewer="x", review=Allow(), again=again)
    assert granted(decide(world(ask("a"), reviews={"a": (answer,)}, elapsed=10), FREE)) == ["a"]


@pytest.mark.parametrize(
    ("cause", "counts"), [(cause, cause in (Cause.REMEDY, Cause.DRIFT, Cause.HUMAN)) for cause in Cause]
)
def test_what_counts_as_a_remedy_in_flight(cause: Cause, counts: bool) -> None:
    """What a remedier does, a repair of drift, and what a person forced; nothing else that holds a permit."""
    book = ledger_of(attrs.evolve(hold("x"), cause=cause))
    assert (
        codes(decide(world(ask("new", cause=Cause.REMEDY, remedier="r"), ledger=book), FREE))
        == ["Unproven"] * counts
    )
