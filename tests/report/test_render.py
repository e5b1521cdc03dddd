"""The page: everything escaped, nothing asked of a network, small for a large run, and true to its data."""

import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import attrs
import pytest

from kubenode.runtime.report import ReportData, render
from kubenode.runtime.report.axis import SECOND, Axis
from kubenode.runtime.report.data import (
    Act,
    Batch,
    Bound,
    Lane,
    Permit,
    Reason,
    Rollout,
    State,
    Stretch,
    Wait,
)
from kubenode.runtime.report.fleet import moments, thinned
from kubenode.runtime.report.markup import join, tag
from kubenode.runtime.report.permits import in_flight, spans_of

EVIL = "<script>alert('x')</script>\"&"
HOUR = 3600 * SECOND


def data(lanes: int = 3, **more: object) -> ReportData:
    """A small run: three machines, one of them updated and one that failed."""
    made = ReportData(
        title="night", wall=datetime(2026, 1, 1, tzinfo=UTC), begins=0, ends=HOUR, summary="it went well",
        lanes=tuple(
            Lane(
                machine=f"n{number}", zone="ab"[number % 2],
                stretches=(Stretch(state=State.READY, began=0, ended=60 * SECOND),
                           Stretch(state=State.UPDATING, began=60 * SECOND, ended=90 * SECOND),
                           Stretch(state=State.READY, began=90 * SECOND)),
                acts=(Act(what="kubelet", why="kubelet revision 2 batch 1", began=60 * SECOND, ended=70 * SECOND,
                          outcome="failed: NoSpace" if number == 1 else "done"),),
            )
            for number in range(lanes)
        ),
        rollouts=(Rollout(
            set="kubelet", revision=2, component="kubelet-1.31",
            batches=(Batch(number=1, size=3, opened=60 * SECOND, worked=90 * SECOND, passed=120 * SECOND, updated=2, failed=1),),
            reasons=(Reason(code="WaitingForPermits", text="waiting for 2", began=61 * SECOND, ended=70 * SECOND),),
            pauses=(Reason(code="Paused", text="n1 failed", began=90 * SECOND, ended=100 * SECOND),),
        ),),
        permits=(Permit(machine="n1", cause="Rollout", op_ids=("rollout-a", "rollout-b"), scopes=("cluster", "zone=b"), opened=60 * SECOND, closed=90 * SECOND),),
        waits=(Wait(who="n2", code="InFlight", scope="cluster", text="cluster: 1 in flight, limit 1", observed=1, limit=1, began=60 * SECOND, ended=90 * SECOND),),
        bounds=(Bound(policy="default", scope="cluster", window=timedelta(hours=1), limit=4, reached=3, at=60 * SECOND),),
    )  # fmt: skip
    return attrs.evolve(made, **more)


class Reader(HTMLParser):
    """Collects what a browser would see of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note an element; all but the void ones must be closed."""
        self.tags.append((name, dict(attributes)))
        if name not in ("meta",):
            self._open.append(name)

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note an element without content."""
        self.tags.append((name, dict(attributes)))

    def handle_endtag(self, name: str) -> None:
        """Note an end."""
        assert self._open.pop() == name

    def handle_data(self, text: str) -> None:
        """Note text, and that of scripts apart."""
        (self.scripts if self._open and self._open[-1] == "script" else self.texts).append(text)


def evil(made: ReportData) -> ReportData:
    """The same run with every text of it hostile."""

    def poisoned(value: object) -> object:
        if isinstance(value, str):
            return EVIL
        if isinstance(value, tuple):
            return tuple(poisoned(item) for item in value)
        if attrs.has(type(value)):
            fields = attrs.fields_dict(type(value))
            changed = {
                name: poisoned(getattr(value, name)) for name in fields if name not in ("code", "cause")
            }
            return attrs.evolve(value, **changed)  # type: ignore[misc]
        return value

    found = poisoned(made)
    assert isinstance(found, ReportData)
    return found


def test_every_text_of_an_object_is_escaped() -> None:
    """A node named <script> is shown by that name, and no element comes of it."""
    plain, hostile = Reader(render(data())), Reader(render(evil(data())))
    assert (
        [name for name, _ in hostile.tags].count("script")
        == [name for name, _ in plain.tags].count("script")
        == 2
    )
    known = {key for _, attributes in plain.tags for key in attributes}
    assert {key for _, attributes in hostile.tags for key in attributes} <= known
    assert any(EVIL in text for text in hostile.texts)
    body = next(json.loads(text) for text in hostile.scripts if text.startswith("{"))
    assert body["lanes"][EVIL][0][0] == EVIL


def test_text_is_escaped_unless_it_was_made_here() -> None:
    """Forgetting to escape is not possible: only markup passes as markup."""
    assert tag("b", "<i>", tag("i", "&"), class_='"') == '<b class="&quot;">&lt;i&gt;<i>&amp;</i></b>'
    assert join(["<", tag("br")]) == "&lt;<br/>"


def test_the_page_names_no_address() -> None:
    """No external address of any kind, no import, no source: it opens without a network."""
    page = render(data())
    assert "://" not in page
    assert not re.search(r"url\(|@import|\bsrc=|<link|<img|<iframe", page)
    reader = Reader(page)
    assert all((attributes.get("href") or "#").startswith("#") for _, attributes in reader.tags)
    policy = next(a["content"] for n, a in reader.tags if n == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_equal_data_give_an_equal_page() -> None:
    """Nothing of a page comes from a clock or from chance."""
    assert render(data()) == render(data())


def test_there_is_a_table_behind_every_chart() -> None:
    """Whoever cannot see the charts reads the same numbers; every drawing has a name."""
    reader = Reader(render(data()))
    captions = [text for text in reader.texts if text in (
        "Machines by zone and state", "Batches", "Reasons", "What was done to whom", "Permits", "Waits", "Limits",
    )]  # fmt: skip
    assert len(captions) == 7
    assert all(attributes.get("aria-label") for name, attributes in reader.tags if name == "svg")


def test_a_permit_is_shown_with_every_change_that_it_was_granted_for() -> None:
    """Two changes of one machine that share a hold are both named in its row."""
    texts = Reader(render(data())).texts
    assert "rollout-a, rollout-b" in texts
    assert texts.count("Changes") == 1


def test_a_run_in_which_nothing_happened_is_drawn_too() -> None:
    """No machine, no rollout, no permit: the page says which run it is and leaves the charts out."""
    empty = ReportData(title="quiet", wall=datetime(2026, 1, 1, tzinfo=UTC), begins=0, ends=0)
    reader = Reader(render(empty))
    assert "quiet" in reader.texts
    assert "section" not in [name for name, _ in reader.tags]
    Reader(render())


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("fleet", "Fewest Ready and untouched: 0 of 3, at +1:00."),
        ("rollouts", "kubelet: 2 of 3 updated to kubelet-1.31 in 1 batch (3). Paused for 10 s: n1 failed."),
        ("permits", "1 permit granted, at most 1 in flight. cluster InFlight bound longest: 30 s."),
        ("waits", "cluster: InFlight kept 1 waiting, for 30 s in all."),
        ("radius", "No limit was exceeded. Fullest: cluster, begun in 1h, 3 of 4, at +1:00."),
        ("lanes", "3 acts on 3 machines. Something failed on n1."),
    ],
)
def test_every_chart_answers_its_question_in_words(section: str, said: str) -> None:
    """The first line under each title is the answer."""
    assert said in " ".join(Reader(render(data())).texts), section


def test_a_limit_that_was_exceeded_is_said_first() -> None:
    """What must not happen is not hidden among full bars."""
    over = Bound(policy="default", scope="zone=a", window=None, limit=1, reached=2, at=0)
    page = render(data(bounds=(over,)))
    assert "EXCEEDED: zone a, in flight reached 2 of 1." in page
    assert "EXCEEDED" not in render(data())


def two_days() -> ReportData:
    """200 machines over 48 hours, each repaired or updated every four hours, with every permit and wait."""
    made = data(200)
    lanes, permits, waits = [], [], []
    for number, lane in enumerate(made.lanes):
        stretches, acts = [], []
        for turn in range(12):
            began = turn * 4 * HOUR + number * 17 * SECOND
            stretches += [
                Stretch(state=State.READY, began=began, ended=began + HOUR),
                Stretch(state=State.DOWN, began=began + HOUR, ended=began + HOUR + 300 * SECOND),
                Stretch(state=State.REPAIRING, began=began + HOUR + 300 * SECOND, ended=began + 2 * HOUR),
                Stretch(state=State.READY, began=began + 2 * HOUR, ended=began + 4 * HOUR),
            ]
            acts.append(
                Act(
                    what="reboot",
                    why=f"n{number:03}-0123456789abcdef attempt {turn}",
                    began=began + HOUR,
                    ended=began + 2 * HOUR,
                    outcome="done",
                )
            )
            permits.append(
                Permit(
                    machine=lane.machine,
                    cause="Remedy",
                    scopes=("cluster", "zone=a", "set=kubelet"),
                    opened=began + HOUR,
                    closed=began + 2 * HOUR,
                )
            )
            waits.append(
                Wait(
                    who=f"remedy/{lane.machine}",
                    code="RateLimit",
                    scope="cluster",
                    text="cluster: 30 started within 1h, limit 30",
                    observed=30,
                    limit=30,
                    began=began,
                    ended=began + HOUR,
                )
            )
        lanes.append(
            Lane(
                machine=f"n{number:03}", zone="abc"[number % 3], stretches=tuple(stretches), acts=tuple(acts)
            )
        )
    return attrs.evolve(
        made, ends=48 * HOUR, lanes=tuple(sorted(lanes, key=lambda lane: lane.zone)), permits=tuple(permits), waits=tuple(waits)
    )  # fmt: skip


def test_two_days_of_two_hundred_machines_fit_into_two_megabytes() -> None:
    """2,400 repairs, 9,600 changes of state, 2,400 permits and waits: a page that can be mailed."""
    assert len(render(two_days()).encode()) < 2_000_000


def test_thinning_keeps_the_worst_and_the_last() -> None:
    """Where moments are left out, the one with the most machines down stays, and so does where the line goes on."""
    run = two_days()
    whole = moments(run.lanes)
    axis = Axis.of(run)
    few = thinned(whole, axis)
    assert len(few) < len(whole)
    assert max(counts[-1] for _, counts in few) == max(counts[-1] for _, counts in whole)
    assert few[-1] == whole[-1]
    assert set(few) <= set(whole)


def test_permits_in_flight_are_counted_by_cause() -> None:
    """One that closes when another opens leaves no peak of two."""
    permits = (
        Permit(machine="a", cause="Rollout", scopes=(), opened=1, closed=5),
        Permit(machine="b", cause="Remedy", scopes=(), opened=3, closed=None),
        Permit(machine="c", cause="Rollout", scopes=(), opened=5, closed=9),
    )
    assert in_flight(permits) == [(1, (1, 0)), (3, (1, 1)), (5, (1, 1)), (9, (0, 1))]


def test_waits_that_overlap_are_counted_once() -> None:
    """Ninety machines that wait for one limit do not make it ninety times as slow; one without an end has none."""
    one = data().waits[0]
    spans = [(1, 4), (2, 3), (4, 6), (8, None), (9, 10)]
    waits = [attrs.evolve(one, began=began, ended=ended) for began, ended in spans]
    assert spans_of(waits) == [(1, 6), (8, None)]


def test_a_quiet_end_is_not_drawn() -> None:
    """The axis ends a little after the last thing that happened, and the page says so."""
    assert Axis.of(data()).ends == 126 * SECOND
    assert "The last 57 min 54 s, in which nothing changed, are not drawn." in render(data())
