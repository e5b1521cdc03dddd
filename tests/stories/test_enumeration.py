"""Every effect of every story, in small casts, meets every disturbance: same end, same acts, every check passed.

The stories of clouds are in `test_cloud_enumeration.py`.

Below it the sabotages: for each disturbance a mistake that only it brings to light, and what the checks must notice
without one: a window that does not hold, a termination without a permit.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import cache

import attrs
import pytest

from kubenode.core.decision import Create, RunSteps
from kubenode.core.errors import Conflict, Unreachable
from kubenode.core.model import Machine, Now, Ref, RemedyOperationJob, RiskLedger
from kubenode.core.remedy import decide as remedy
from kubenode.core.remedy.match import Match
from kubenode.core.risk.rates import Rates
from kubenode.core.risk.refusal import Refusal
from kubenode.runtime.engine import apply as applying
from kubenode.runtime.engine.expect import Expectations, Written
from kubenode.runtime.engine.loop import Done, Engine, Input, Synced
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.store.contract import MergePatch, Store
from kubenode.runtime.store.embedded import now_or_never
from tests.stories.disturbing import (
    BOUND,
    MODES,
    REFUSED,
    Hands,
    Played,
    differences,
    nothing,
    play,
)

FEWEST = {
    "import": 56,
    "hung": 49,
    "upgrade": 73,
    "outage": 104,
    "drift": 64,
    "machineset": 70,
    "drain": 60,
}
"""Effects of each story as it is now: one that had fewer would no longer be the story whose name it has."""

whole = cache(play)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("story", FEWEST)
def test_a_disturbance_of_any_effect_changes_nothing(story: str, mode: str) -> None:
    """All effects, not a sample; no window is exceeded, nothing is done twice, and in the end all is the same."""
    undisturbed = whole(story)
    assert undisturbed.told.passed
    assert len(undisturbed.effects) >= FEWEST[story]
    assert list(differences(story, mode, undisturbed)) == []


@pytest.mark.parametrize("fault", REFUSED)
def test_no_write_is_left_out_because_it_was_refused_once(fault: str) -> None:
    """429, 500, and a connection reset before anything was done: at every write of the hung story."""
    assert list(differences("hung", fault, whole("hung"))) == []


Patch = pytest.MonkeyPatch


def caught(
    story: str, mode: str, of: type | None = None, on_crash: Callable[[Simulation], None] = nothing
) -> str:
    """Give the first difference under a sabotage that does no harm to the undisturbed story."""
    undisturbed: Played = play(story)
    assert undisturbed.differs(whole(story)) == ""
    return next(differences(story, mode, undisturbed, of=of, on_crash=on_crash), "")


def test_before_catches_a_restart_that_waits_for_news(monkeypatch: Patch) -> None:
    """Only what changes is decided: what stood before the crash, and was not done, is never done."""
    take = Engine._take

    def waits(self: Engine, item: Input, now: Now) -> None:
        if not isinstance(item, Synced):
            take(self, item, now)
            return
        self._unsynced.discard(item.kind)
        for change in self.cache.replace(item.kind, item.items, item.version, begins=item.begins):
            self._fold(change)

    whole("hung")
    monkeypatch.setattr(Engine, "_take", waits)
    assert caught("hung", "before")


def test_after_catches_an_agent_without_a_journal() -> None:
    """What it had begun is done again after its crash."""

    def forget(simulation: Simulation) -> None:
        for host in simulation.hosts.values():
            host.journal.clear()

    assert "two acts" in caught("hung", "after", RunSteps, forget)


def test_lost_catches_a_journal_that_is_written_when_the_answer_came(monkeypatch: Patch) -> None:
    """What was done, but not answered, is done again."""
    run = Hands.run

    async def answered(self: Hands, effect: RunSteps) -> None:
        try:
            await run(self, effect)
        except Unreachable:
            del self.simulation.hosts[effect.machine.name].journal[effect.op_id]
            raise

    whole("hung")
    monkeypatch.setattr(Hands, "run", answered)
    assert "asked to run" in caught("hung", "lost", RunSteps)


def test_conflict_catches_a_conflict_that_passes_for_done(monkeypatch: Patch) -> None:
    """The key is not looked at again: the change that came between is to wake it, and there was none."""
    finish = Engine._finish

    def swallows(self: Engine, done: Done, now: Now) -> None:
        if isinstance(done.error, Conflict):
            self._queue.put_back(done.key)
        else:
            finish(self, done, now)

    whole("hung")
    monkeypatch.setattr(Engine, "_finish", swallows)
    assert caught("hung", "conflict")


def _named_by_time(monkeypatch: Patch) -> None:
    """Let the name of a job tell when it was decided, to ten seconds, instead of what it is for."""
    opened = remedy._opened

    def stamped(seen: remedy.RemedySnapshot, match: Match) -> RemedyOperationJob:
        job = opened(seen, match)
        name = f"{job.metadata.name}-{seen.now.elapsed // 10_000_000_000}"
        return attrs.evolve(job, metadata=attrs.evolve(job.metadata, name=name))

    monkeypatch.setattr(remedy, "_opened", stamped)


def test_stale_catches_who_does_not_wait_for_its_own_writes(monkeypatch: Patch) -> None:
    """With names by time beside it: a name by intent alone would make the second Create the first one again."""
    whole("hung")
    monkeypatch.setattr(Expectations, "unseen", lambda *_: None)
    _named_by_time(monkeypatch)
    assert "jobs for" in caught("hung", "stale", Create)


def test_second_catches_names_that_are_no_function_of_the_intent(monkeypatch: Patch) -> None:
    """Two controllers open a job each for one fault."""
    whole("hung")
    _named_by_time(monkeypatch)
    assert "2 jobs for" in caught("hung", "second", Create)


@pytest.mark.parametrize("story", ["hung", "upgrade", "machineset"])
def test_second_catches_writes_without_a_precondition(story: str, monkeypatch: Patch) -> None:
    """What the second controller decided on an old view takes the place of what the first has written since."""

    def any_version(where: Ref, _: str) -> dict[str, str]:
        return {"uid": where.uid}

    whole(story)
    monkeypatch.setattr(applying, "_precondition", any_version)
    assert caught(story, "second")


def test_second_catches_a_name_that_gives_way_to_who_has_it(monkeypatch: Patch) -> None:
    """Two controllers make a machine each for one place: the second takes another name instead of leaving it."""
    create = applying._create

    async def insists(act: Create, store: Store) -> Written:
        written = await create(act, store)
        if written.version or not isinstance(act.object, Machine):
            return written
        metadata = attrs.evolve(act.object.metadata, name=f"{act.object.metadata.name}-2")
        return await create(attrs.evolve(act, object=attrs.evolve(act.object, metadata=metadata)), store)

    whole("machineset")
    monkeypatch.setattr(applying, "_create", insists)
    assert "never too many machines" in caught("machineset", "second")


def failed(story: str) -> str:
    """Give the checks that the undisturbed story fails, with what was found."""
    return "; ".join(f"{check.name}: {check.found}" for check in play(story).told.checks if not check.passed)


@pytest.mark.parametrize("story", BOUND)
def test_a_window_that_is_ignored_is_noticed(story: str, monkeypatch: Patch) -> None:
    """Without any disturbance: so each of these stories has a window that makes an act wait."""
    monkeypatch.setattr(Rates, "refusal", lambda *_: None)
    assert "no limit exceeded" in failed(story)


@pytest.mark.parametrize("story", BOUND)
def test_a_window_that_is_doubled_is_noticed(story: str, monkeypatch: Patch) -> None:
    """One act more than may begin within it."""
    window = Rates._window

    def doubled(self: Rates, scope: str, span: timedelta, most: int) -> Refusal | None:
        return window(self, scope, span, 2 * most)

    monkeypatch.setattr(Rates, "_window", doubled)
    assert "no limit exceeded" in failed(story)


@pytest.mark.parametrize("mode", ["before", "after"])
def test_a_crash_catches_windows_that_are_counted_in_memory(mode: str) -> None:
    """What was granted and is over is not in the ledger; a new process begins its count at none."""

    def forget(simulation: Simulation) -> None:
        if simulation.objects(RiskLedger):
            none = MergePatch({"status": {"closed": None}})
            now_or_never(simulation.store.patch(RiskLedger.KIND, "cluster", none, subresource="status"))

    assert "no limit exceeded" in caught("hung", mode, on_crash=forget)
