"""The law of the lease: its table, and that of several candidates, however they are paused and lose answers, one leads."""

from collections.abc import Callable
from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.errors import InvalidObjectError
from kubenode.core.lease import (
    Absent,
    Found,
    Hold,
    LeaseAct,
    LeaseAnswer,
    LeaseRecord,
    LeaseState,
    LeaseTimes,
    LeaseView,
    Look,
    Lost,
    Make,
    Moved,
    Wait,
    after,
    next_act,
    term_of,
)

S = 10**9
TIMES = LeaseTimes()
PAUSE = 2 * S


def record(holder: str, version: int = 1, seconds: int = 15, transitions: int = 0) -> LeaseRecord:
    """Make a record."""
    return LeaseRecord(
        holder=holder, duration=timedelta(seconds=seconds), transitions=transitions, version=str(version)
    )


def told(state: LeaseState, answer: LeaseAnswer, now: int, begun: int | None = None) -> LeaseState:
    """Give the state after an answer."""
    return after(state, answer, begun=now if begun is None else begun, now=now, pause=PAUSE, times=TIMES)


NEW = LeaseState(me="a")
OTHERS = told(NEW, Found(record("b")), 0)
MINE = told(NEW, Found(record("a"), mine=True), 0)


@pytest.mark.parametrize(
    ("state", "now", "act"),
    [
        (NEW, 0, Look()),
        (told(NEW, Absent(), 0), 0, Make()),
        (told(NEW, Found(record("")), 0), 0, Hold(version="1", transitions=1, takes=True)),
        (OTHERS, 0, Wait(until=2 * S)),
        (OTHERS, 2 * S, Look()),
        (told(OTHERS, Found(record("b")), 14 * S), 14 * S, Wait(until=15 * S)),
        (told(OTHERS, Found(record("b")), 14 * S), 15 * S, Hold(version="1", transitions=1, takes=True)),
        (told(OTHERS, Found(record("b", 2)), 14 * S), 16 * S, Look()),
        (told(OTHERS, Found(record("", 2, 1)), 3 * S), 3 * S, Hold(version="2", transitions=1, takes=True)),
        (told(OTHERS, Lost(), 3 * S), 4 * S, Wait(until=5 * S)),
        (told(OTHERS, Lost(), 3 * S), 5 * S, Look()),
        (told(OTHERS, Moved(), 3 * S), 3 * S, Look()),
        (told(OTHERS, Absent(), 3 * S), 3 * S, Wait(until=15 * S)),
        (told(OTHERS, Absent(), 3 * S), 15 * S, Make()),
        (MINE, 0, Wait(until=2 * S)),
        (MINE, 2 * S, Hold(version="1", transitions=0, takes=False)),
        (told(MINE, Lost(), 2 * S), 4 * S, Look()),
        (told(told(MINE, Lost(), 2 * S), Found(record("a", 2)), 4 * S), 4 * S,
         Hold(version="2", transitions=0, takes=False)),
        (told(MINE, Absent(), 2 * S), 2 * S, Make()),
        (told(MINE, Found(record("b", 3)), 2 * S), 2 * S, Wait(until=4 * S)),
    ],
)  # fmt: skip
def test_the_next_act(state: LeaseState, now: int, act: LeaseAct) -> None:
    """Each row: what is known, when, and what is done then."""
    assert next_act(state, now) == act


@pytest.mark.parametrize(
    ("state", "now", "term"),
    [
        (NEW, 0, None),
        (OTHERS, 10**12, None),
        (MINE, 0, 1),
        (MINE, 10 * S - 1, 1),
        (MINE, 10 * S, None),
        (told(MINE, Lost(), 2 * S), 9 * S, 1),
        (told(MINE, Moved(), 2 * S), 3 * S, 1),
        (told(MINE, Absent(), 2 * S), 2 * S, None),
        (told(MINE, Found(record("b", 3)), 2 * S), 2 * S, None),
        (told(MINE, Found(record("", 3)), 2 * S), 2 * S, None),
        (told(MINE, Found(record("a", 2), mine=True), 4 * S, begun=3 * S), 12 * S, 1),
        (told(MINE, Found(record("a", 2), mine=True), 4 * S, begun=3 * S), 13 * S, None),
        (told(MINE, Found(record("a", 2), mine=True), 40 * S, begun=40 * S), 41 * S, 2),
        (told(told(MINE, Lost(), 2 * S), Found(record("a", 2)), 40 * S), 40 * S, None),
    ],
)
def test_who_leads_and_in_which_term(state: LeaseState, now: int, term: int | None) -> None:
    """From the beginning of the write that succeeded; a gap, even one that nobody noticed, begins another term."""
    assert term_of(state, now, TIMES) == term


def test_an_act_is_due_exactly_then() -> None:
    """A nanosecond before it, the act is to wait for just that moment."""
    for state in (OTHERS, MINE, told(MINE, Lost(), 2 * S)):
        assert next_act(state, state.due - 1) == Wait(until=state.due)
        assert not isinstance(next_act(state, state.due), Wait)


@pytest.mark.parametrize(
    ("every", "within", "duration"), [(2, 2.4, 15), (2, 15, 15), (0, 10, 15), (9, 10, 15)]
)
def test_times_that_would_let_two_lead_are_refused(every: float, within: float, duration: float) -> None:
    """The message says what is needed."""
    with pytest.raises(InvalidObjectError, match="renew_within < duration"):
        LeaseTimes(
            duration=timedelta(seconds=duration), renew_within=timedelta(seconds=within), every=timedelta(seconds=every)
        )  # fmt: skip


# Several of them on one server.


@attrs.define
class Server:
    """One Lease, changed by compare-and-swap."""

    record: LeaseRecord | None = None
    version: int = 0

    def do(self, me: str, act: LeaseAct) -> LeaseAnswer:
        """Do an act of a candidate."""
        match act:
            case Look():
                return Absent() if self.record is None else Found(self.record)
            case Make():
                return Moved() if self.record is not None else self._write(me, 0)
            case Hold():
                is_there = self.record is not None and self.record.version == act.version
                return self._write(me, act.transitions) if is_there else Moved()
            case Wait():
                raise AssertionError(act)

    def _write(self, me: str, transitions: int) -> LeaseAnswer:
        self.version += 1
        self.record = record(me, self.version, transitions=transitions)
        return Found(self.record, mine=True)


@attrs.define
class Candidate:
    """One candidate with a clock of its own, which may run a tenth too fast or too slow."""

    state: LeaseState
    offset: int
    percent: int
    awake_at: int = 0
    cut_until: int = 0
    pending: Callable[[], None] | None = None

    def clock(self, true: int) -> int:
        """Give its own time."""
        return self.offset + true * self.percent // 100

    def leads(self, true: int) -> bool:
        """Tell whether it would act now, were it awake."""
        return term_of(self.state, self.clock(true), TIMES) is not None


FAULTS = st.sampled_from(["none"] * 6 + ["lost", "lost after", "slow", "paused", "cut"])


@given(
    clocks=st.lists(
        st.tuples(st.integers(0, 10**12), st.sampled_from([90, 100, 110])), min_size=2, max_size=4
    ),
    faults=st.lists(st.tuples(st.integers(0, 3), FAULTS, st.integers(1, 60)), max_size=60),
)
def test_of_several_candidates_at_most_one_leads(
    clocks: list[tuple[int, int]], faults: list[tuple[int, str, int]]
) -> None:
    """At no moment of true time do two lead, and some time after the last fault one does.

    Clocks differ and drift by a tenth, answers are lost before and after the write or come late, the server is away for one of them, and processes stop
    for up to a minute, also between a question and its answer. (A person who deletes the Lease is not among them: then a
    newcomer may begin at once, and only the preconditions keep the two apart.)
    """
    server = Server()
    candidates = [
        Candidate(state=LeaseState(me=str(number)), offset=offset, percent=percent)
        for number, (offset, percent) in enumerate(clocks)
    ]
    queue = list(faults)
    true = 0
    quiet = 0
    while quiet < 60:
        true += S // 2
        for number, one in enumerate(candidates):
            if true < one.awake_at:
                continue
            fault, seconds = "none", 0
            if queue and queue[0][0] % len(candidates) == number:
                _, fault, seconds = queue.pop(0)
            _turn(server, one, true, fault, seconds)
        assert sum(one.leads(true) for one in candidates if true >= one.awake_at) <= 1
        is_healed = not queue and all(true >= max(one.awake_at, one.cut_until) for one in candidates)
        quiet = quiet + 1 if is_healed else 0
        if true > 10**13:
            break
    assert sum(one.leads(true) for one in candidates) == 1


def _turn(server: Server, one: Candidate, true: int, fault: str, seconds: int) -> None:
    """Let a candidate do what is due; it may be paused between asking and hearing."""
    if one.pending is not None:
        one.pending()
        one.pending = None
    now = one.clock(true)
    if fault == "paused":
        one.awake_at = true + seconds * S
        return
    if fault == "cut":
        one.cut_until = true + seconds * S
    act = next_act(one.state, now)
    if isinstance(act, Wait):
        return
    is_lost = fault == "lost" or true < one.cut_until
    answer: LeaseAnswer = Lost() if is_lost else server.do(one.state.me, act)
    if fault == "lost after":
        answer = Lost()

    def hear(heard: int) -> None:
        one.state = after(one.state, answer, begun=now, now=heard, pause=PAUSE, times=TIMES)

    if fault == "slow":
        one.awake_at = true + seconds * S
        one.pending = lambda: hear(one.clock(one.awake_at))
    else:
        hear(now)


@given(st.integers(0, 40))
def test_a_released_lease_is_taken_at_the_next_look(at: int) -> None:
    """And one whose holder died, when its record has stood unchanged for its duration, on my clock."""
    now = at * S
    waiting = told(NEW, Found(record("b")), now)
    look = waiting.due
    assert next_act(waiting, look) == Look()
    free = told(waiting, Found(record("", 2, 1)), look)
    assert next_act(free, look) == Hold(version="2", transitions=1, takes=True)
    state = waiting
    while isinstance(next_act(state, state.due), Look):
        state = told(state, Found(record("b")), state.due)
    assert state.due == now + 15 * S
    assert next_act(state, state.due) == Hold(version="1", transitions=1, takes=True)


def test_views_are_all_acted_on() -> None:
    """Each view has its act; a view without a record looks."""
    assert {view: type(next_act(LeaseState(me="a", view=view), 0)) for view in LeaseView} == {
        LeaseView.UNKNOWN: Look, LeaseView.MISSING: Make, LeaseView.KNOWN: Look,
    }  # fmt: skip
