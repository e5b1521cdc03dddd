"""A recording decided again: the same byte for byte under its policy, and what is otherwise under another."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Decision, Verdict
from kubenode.core.errors import InvalidObjectError
from kubenode.core.model.quantity import IntOrPercent
from kubenode.core.policy import BUILT_IN, Policy
from kubenode.core.remedy import decide as remedy
from kubenode.core.rollout import decide as rollout
from kubenode.runtime.record import Record, Recorder, Recording, codec, recorded, replay
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import Cast, examples
from tests.runtime.record.conftest import Recorded
from tests.stories.disturbing import PLAYS

Recordings = Mapping[str, Recorded]


@pytest.mark.parametrize("story", PLAYS)
def test_every_record_of_every_story_reads_back_equal(story: str, recordings: Recordings) -> None:
    """Snapshot, policy, decision and acts, in their order."""
    read = Recording.load(recordings[story].path)
    assert read.cut == 0
    assert read.records == recordings[story].told


@pytest.mark.parametrize("story", PLAYS)
def test_the_same_policy_decides_the_same_byte_for_byte(story: str, recordings: Recordings) -> None:
    """Of every decision; and every kind of decider that the stories have is among them."""
    found = replay(recordings[story].path)
    assert found.changes == ()
    assert found.open_loop_after is None
    assert found.decisions == len(recordings[story].told) > 100


def test_the_stories_hold_decisions_of_nearly_every_decider(recordings: Recordings) -> None:
    """What they lack is a dry run, an enrolment, a cloud that tells events and a health check that asks: `test_record.py` has a snapshot of each."""
    kinds = {codec.word_of(one.snapshot) for each in recordings.values() for one in each.told}
    assert set(codec.SNAPSHOTS) - kinds == {"rehearsal", "enrol", "doctor", "external"}


DIGEST = """
import hashlib, sys
from kubenode.runtime.record import codec, replay, Recording
from kubenode.runtime.record import replay as again
digest = hashlib.sha256()
for path in sys.argv[1:]:
    assert again(path).changes == ()
    for one in Recording.load(path).records:
        digest.update(one.to_json().encode())
print(digest.hexdigest())
"""


def test_two_processes_with_two_hash_seeds_decide_the_same(recordings: Recordings) -> None:
    """And write every record as the same line, whatever the order of their sets."""
    paths = [str(one.path) for one in recordings.values()]
    said = set()
    for seed in ("1", "271828"):
        done = subprocess.run(
            [sys.executable, "-c", DIGEST, *paths], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.add(done.stdout)
    assert len(said) == 1


def limited(amount: int) -> Policy:
    """Give a policy that limits the fleet to so many at once, and heals nothing."""
    risk = m.RiskPolicy(
        metadata=m.ObjectMeta(name="tried"),
        spec=m.RiskPolicySpec(limits=(m.Limit(scope=m.Scope.CLUSTER, max=IntOrPercent(amount)),)),
    )
    return Policy(risk=(risk,))


def test_another_policy_shows_what_it_would_have_changed(recordings: Recordings) -> None:
    """Each change with its time, its subject and both decisions; after the first all is conjecture."""
    found = replay(recordings["hung"].path, limited(0))
    assert found.changes
    assert {one.controller for one in found.changes} == {"remedy", "risk"}
    first = found.changes[0]
    assert found.open_loop_after == first.at == first.record.now.wall
    assert list(found.changes) == sorted(found.changes, key=lambda one: one.at)
    opened = next(one for one in found.changes if one.before.verdict is Verdict.ACT)
    assert opened.key == opened.record.key
    assert opened.after.verdict is not Verdict.ACT
    assert opened.before != opened.after


def test_under_a_wider_breaker_nobody_waits_for_the_zone(recordings: Recordings) -> None:
    """What waited for the zone, by the number that was its limit, does so no longer under one that never opens."""
    policy = recordings["outage"].told[-1].policy
    wide = m.ZoneBreaker(not_ready_percent=100, min_not_ready=1000)
    risk = tuple(
        attrs.evolve(one, spec=attrs.evolve(one.spec, zone_breaker=wide)) for one in (*policy.risk, BUILT_IN)
    )
    found = replay(recordings["outage"].path, attrs.evolve(policy, risk=risk))
    waited = [
        one for one in found.changes if one.before.binding and "zone b: 7 of 10" in one.before.binding.text
    ]
    assert waited
    assert {one.before.verdict for one in waited} == {Verdict.DEFER}
    assert not any("not ready" in note.text for one in waited for note in one.after.notes)


def _mute(seen: Any, policy: Policy) -> Decision[Any]:
    return Decision()


def _late(seen: Any, policy: Policy) -> Decision[Any]:
    found = _REMEDY(seen, policy)
    return attrs.evolve(found, wake_at=None if found.wake_at is None else found.wake_at + 1)


_REMEDY = remedy.decide


@pytest.mark.parametrize(
    ("story", "module", "sabotage"),
    [("upgrade", rollout, _mute), ("hung", remedy, _late), ("outage", remedy, _late)],
)
def test_a_decider_that_decides_otherwise_is_found(
    story: str, module: Any, sabotage: Any, recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one whose deadline is a nanosecond late; all other deciders' decisions are the same."""
    monkeypatch.setattr(module, "decide", sabotage)
    found = replay(recordings[story].path)
    assert {one.controller for one in found.changes} == {module.__name__.split(".")[-2]}


def test_the_order_of_a_set_is_no_change(recordings: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision with the same content in another order of keys has the same canonical text."""

    def turned(seen: Any, policy: Policy) -> Decision[Any]:
        found = _REMEDY(seen, policy)
        return attrs.evolve(found, sightings=dict(reversed(list(found.sightings.items()))))

    monkeypatch.setattr(remedy, "decide", turned)
    assert replay(recordings["outage"].path).changes == ()


def test_a_policy_that_is_none_is_refused(recordings: Recordings) -> None:
    """Before anything is read."""
    wrong: Any = BUILT_IN
    with pytest.raises(
        InvalidObjectError, match=r"a value of type RiskPolicy is not a Policy(.|\n)*Policy\.of"
    ):
        replay(recordings["hung"].path, wrong)


def test_each_record_is_decided_under_the_policy_of_its_time(tmp_path: Path) -> None:
    """A policy edited in the middle of a run changes nothing of what was decided before, and all policies are kept."""
    told: list[Record] = []

    def attend(simulation: Simulation) -> None:
        simulation.listen(lambda decided: told.append(recorded(decided)))
        simulation.listen(lambda decided: recorder(recorded(decided)))
        edit = {"spec": {"condition": {"for": "10s"}}}
        pending = [lambda: simulation.change(m.NodeRemedier, "hung-task", edit)]

        def person() -> None:
            if pending and any(one.controller == "remedy" and one.decision.deferred for one in told):
                pending.pop()()

        simulation.watch(person)

    cast = Cast.read([examples() / "hung.yaml"])
    with Recorder(tmp_path / "edited.knrec") as recorder:
        STORIES["hung"](cast, 0, lambda _: None, attend)
    read = Recording.load(tmp_path / "edited.knrec")
    assert [one.policy for one in read.records] == [one.policy for one in told]
    lasting = {rule.spec.condition.lasting for one in read.records for rule in one.policy.remediers}
    assert len(lasting) == 2
    assert replay(tmp_path / "edited.knrec").changes == ()
    last = replay(tmp_path / "edited.knrec", told[-1].policy)
    assert last.changes, "the edit matters to what was decided before it"
