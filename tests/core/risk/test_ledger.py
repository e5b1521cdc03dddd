"""The ledger: its time, its rows, its counters."""

from datetime import timedelta

import attrs
import pytest

from kubenode.core.model import RiskLedgerStatus, Scope
from kubenode.core.risk import ledger
from kubenode.core.risk.window import FULL
from tests.core.risk.builders import AGE, HOUR, SECOND, hold, ledger_of, now_at

MINUTE = timedelta(minutes=1)


def test_time_goes_on_from_the_first_sight() -> None:
    """Ledger time is the checkpoint plus what this process has itself seen pass."""
    book = ledger_of()
    seen = {ledger.sighting(book): 500}
    assert ledger.ledger_now(book, now_at(700), seen) == AGE + 200
    assert ledger.ledger_now(book, now_at(700), {}) == AGE


def test_time_starts_anew_with_every_version() -> None:
    """A sighting of another version or of another ledger says nothing of this one."""
    book = ledger_of(version="2")
    seen = {ledger.sighting(ledger_of(version="1")): 0, "ledger:other:2": 0}
    assert ledger.ledger_now(book, now_at(10 * HOUR), seen) == AGE


def test_time_never_falls_behind_the_checkpoint() -> None:
    """A sighting from the future (an elapsed that began anew) is worth nothing, and the first moment is 1."""
    book = ledger_of()
    assert ledger.ledger_now(book, now_at(5), {ledger.sighting(book): 900}) == AGE
    assert ledger.ledger_now(ledger_of(checkpoint=0), now_at(5), {}) == 1


def test_what_the_server_admits_at_the_beginning_of_time_is_no_edit() -> None:
    """A permit of ledger time 0 is older than any that is granted; it stops nobody."""
    status = ledger_of(hold("a", since=0)).status
    assert ledger.spoilt(status) == ""


def test_scopes_are_spelt_as_stored() -> None:
    """A machine counts in the cluster, in its region and zone, and in each set once; no zone is a zone too."""
    assert ledger.scopes_of("b", ["kubelet", "cni", "kubelet"], "eu") == (
        "cluster",
        "region=eu",
        "zone=b",
        "set=cni",
        "set=kubelet",
    )
    assert ledger.scopes_of("", []) == ("cluster", "region=", "zone=")
    assert ledger.scope_text(Scope.CLUSTER) == ledger.scope_text(Scope.FLEET) == "cluster"


def test_no_second_hold_for_a_machine_or_an_op_id() -> None:
    """Granting twice equals granting once, and a machine that is held gets no other hold."""
    first = hold("a", "m1")
    status = ledger.grant(RiskLedgerStatus(), [first, hold("b", "m1"), hold("a", "m2"), hold("c", "m3")])
    assert [each.op_id for each in status.holds] == ["a", "c"]
    assert ledger.grant(status, [first]) == status


def test_closed_hold_counts_from_its_beginning() -> None:
    """A hold that ends moves into the bucket in which it began, in each of its scopes."""
    status = RiskLedgerStatus(
        holds=(hold("a", since=1230 * SECOND), hold("b", since=1240 * SECOND, zone="b"))
    )
    closed = ledger.close(status, {"a"}, 1250 * SECOND)
    assert [each.op_id for each in closed.holds] == ["b"]
    assert closed.closed == dict.fromkeys(
        ("cluster", "region=", "set=kubelet", "zone=a"), "s:123=1;m:20=1;h:0=1"
    )
    assert ledger.usage(closed, "cluster", MINUTE, 1250 * SECOND) == 2
    assert ledger.in_flight(closed, "cluster") == 1
    assert ledger.in_flight(closed, "zone=a") == 0


def test_old_hold_leaves_no_count() -> None:
    """A hold that began more than a day ago is in no window, so its end counts nowhere."""
    status = RiskLedgerStatus(holds=(hold("a", since=1),))
    assert ledger.close(status, {"a"}, 30 * HOUR).closed == {}


def test_open_holds_leave_a_window_exactly() -> None:
    """An open hold is counted to the nanosecond."""
    status = RiskLedgerStatus(holds=(hold("a", since=100),))
    span = 60 * SECOND
    assert ledger.usage(status, "cluster", MINUTE, 100 + span - 1) == 1
    assert ledger.usage(status, "cluster", MINUTE, 100 + span) == 0
    assert ledger.in_flight(status, "cluster") == 1


@pytest.mark.parametrize("text", ["", "?", "h:1"])
def test_unreadable_scope_is_full_and_stays(text: str) -> None:
    """A text nobody can read makes its scope full, and closing a hold there does not make it readable."""
    status = RiskLedgerStatus(closed={"zone=a": text}, holds=(hold("a", since=AGE),))
    after = ledger.stamped(ledger.close(status, {"a"}, AGE), AGE, "L")
    assert after.closed["zone=a"] == text
    assert ledger.usage(after, "zone=a", MINUTE, AGE) == FULL
    assert ledger.usage(after, "cluster", MINUTE, AGE) == 1


def test_stamp_prunes_and_never_goes_back() -> None:
    """A write drops what no window needs, and its checkpoint is not below the one before."""
    status = ledger.close(RiskLedgerStatus(holds=(hold("a", since=SECOND),)), {"a"}, SECOND)
    assert ledger.stamped(status, 3 * HOUR, "L").closed["cluster"] == "h:0=1"
    assert ledger.stamped(status, 26 * HOUR, "L").closed == {}
    assert ledger.stamped(attrs.evolve(status, checkpoint=9), 5, "L").checkpoint == 9


def test_closing_never_makes_a_ledger_heavier() -> None:
    """The weight of an open hold includes what it will be when closed, so a ledger can always be closed."""
    holds = tuple(hold(f"op-{i}", since=i * 7 * SECOND, sets=[f"set-{i % 5}"]) for i in range(200))
    status = RiskLedgerStatus(holds=holds)
    for each in holds:
        after = ledger.close(status, {each.op_id}, 1400 * SECOND)
        assert ledger.size(after) <= ledger.size(status)
        status = after
