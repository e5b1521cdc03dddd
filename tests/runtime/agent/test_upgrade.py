"""An upgrade of the agent: who cannot be upgraded, what the trial's files say, and what the fallback makes of what it sees."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode.core.host.trial import Arrival, Trial, Verdict
from kubenode.core.step import AGENT_PATH, AGENT_UNIT
from kubenode.runtime.agent import fallback
from kubenode.runtime.agent.acts import CallOff, DropArtifact, PutBack, dump, load, named
from kubenode.runtime.agent.artifacts import Artifacts
from kubenode.runtime.agent.commands import Ran
from kubenode.runtime.agent.disk import Disk
from kubenode.runtime.agent.executor import Stopped
from kubenode.runtime.agent.fallback import Fallback, is_of
from kubenode.runtime.agent.stage import Supply
from kubenode.runtime.agent.tree import Form, StepFailed, Tree, Was
from kubenode.runtime.agent.trial import RolledBack, Trials
from kubenode.runtime.agent.units import Units
from kubenode.runtime.agent.upgrade import Own, Upgrades
from tests.runtime.agent.test_crashes import folder
from tests.runtime.agent.test_units import Systemd as States
from tests.runtime.agent.test_upgrade_crashes import FIRST, Systemd, fetch, prepared, upgrade

__all__ = ["folder"]  # the fixture

OLD = f"/opt/kubenode/{FIRST}"
STEP = upgrade("good")
TRIAL = Trial(id="t", old=FIRST, new="/n", run="run1", server="10.0.0.1", port=6443, within=30)
BACK = Verdict(stays=False, why="no")


def upgrades(place: Path, *, pause: Callable[[float], None] = lambda _: None, **own: Any) -> Upgrades:
    """The upgrades of a host whose agent an import has brought."""
    host, disk = Systemd(place), Disk()
    tree = Tree(host.root, disk)
    given = {"program": f"{OLD}/kubenode", "run": host.run, "state": str(place / "state"), **own}
    return Upgrades(
        own=Own(**given), tree=tree, units=Units(host, pause), run=host, pause=pause, arrival=lambda: None,
        artifacts=Artifacts(tree, disk, Supply(fetch=fetch, left=0), pause), trials=Trials(place / "state", disk, "agent"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"program": "/usr/bin/python3"}, "this agent is /usr/bin/python3, not of /opt/kubenode/bin; install it by kubenode machine import --bundle"),
        ({"program": "/opt/kubenode/first/binary"}, "this agent is /opt/kubenode/first/binary, not of"),
        ({"run": ""}, "does not run as kubenode-agent.service"),
        ({"run": "another"}, "does not run as kubenode-agent.service"),
    ],
)  # fmt: skip
def test_an_agent_that_nobody_would_start_anew_is_left_alone(
    folder: Path, own: dict[str, str], says: str
) -> None:
    """Of a virtual environment, by hand: it says what to do."""
    prepared(folder)
    with pytest.raises(StepFailed, match=says):
        upgrades(folder, **own).before(STEP)


def test_kubenode_that_is_no_link_is_left_alone(folder: Path) -> None:
    """It came by another way."""
    prepared(folder)
    link = Systemd(folder).path(AGENT_PATH)
    link.unlink()
    link.write_text("a file")
    with pytest.raises(StepFailed, match="not of /opt/kubenode/bin"):
        upgrades(folder).before(STEP)


def test_the_way_back_is_the_link_and_what_was_fetched(folder: Path) -> None:
    """First of all the trial ends; a bundle that was there before stays."""
    prepared(folder)
    one = upgrades(folder)
    (off, link, drop), marks = one.before(STEP)
    assert off == CallOff(trial=marks["trial"])
    assert link == PutBack(path=AGENT_PATH, was=Was(form=Form.LINK, target=FIRST))
    assert drop == DropArtifact(path=AGENT_PATH, sha256=STEP.sha256)
    assert marks["target"] == FIRST
    one.artifacts.bring(STEP.installation)
    assert len(one.before(STEP)[0]) == 2
    assert one.before(STEP)[1]["trial"] != marks["trial"]


def test_what_does_not_watch_lets_nothing_be_exchanged(folder: Path) -> None:
    """The fallback has to be seen at work: that it was started is not enough."""
    prepared(folder)
    one = upgrades(folder)

    class Idle(Systemd):
        """Starts a fallback that does nothing."""

        def __call__(self, argv: Any, limit: float) -> Ran:
            """Run a program."""
            return Ran(code=0) if "restart" in argv and argv[-1] == fallback.UNIT else super().__call__(argv, limit)  # fmt: skip

    idle = Idle(folder)
    idle.unit(fallback.UNIT)
    _, marks = one.before(STEP)
    with pytest.raises(StepFailed, match=r"kubenode-agent-fallback\.service does not watch after 30 s"):
        attrs.evolve(one, units=Units(idle, lambda _: None)).do(STEP, marks)
    assert Systemd(folder).kind() == "old"
    assert one.is_on(marks)
    one.call_off(CallOff(trial=marks["trial"]))
    assert one.trials.verdict(marks["trial"]) == Verdict(stays=False, why="the agent before has gone back")
    with pytest.raises(RolledBack, match=r"^RolledBack: the agent before has gone back$"):
        one.do(STEP, marks)


def test_a_program_that_does_not_answer_is_tried_another_time(folder: Path) -> None:
    """Slow is not bad; and there is no trial yet to call off."""
    prepared(folder)
    one = upgrades(folder)
    _, marks = one.before(STEP)
    slow = attrs.evolve(one, run=lambda argv, limit: Ran(code=None))
    with pytest.raises(StepFailed, match="did not end in time") as raised:
        slow.do(STEP, marks)
    assert not isinstance(raised.value, RolledBack)
    assert not one.is_on(marks)
    one.call_off(CallOff(trial=marks["trial"]))
    assert one.trials.verdict(marks["trial"]) is None


@pytest.mark.parametrize(
    ("arrival", "stays"), [(None, False), (Arrival.KEEPS, True), (Arrival.REPORTS, True)]
)
def test_where_nobody_watches_the_new_one_judges_itself(
    folder: Path, arrival: Arrival | None, stays: bool
) -> None:
    """At the end of twice its time: somebody has removed the fallback, and the operation must not stay open for ever."""
    prepared(folder)
    waited = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if Systemd(folder).run != run:
            raise Stopped

    run = Systemd(folder).run
    one = upgrades(folder, pause=pause)
    new = one.artifacts.bring(STEP.installation)
    one.tree.put(AGENT_PATH, Was(form=Form.LINK, target=new))
    proving = attrs.evolve(one, own=attrs.evolve(one.own, program=f"{new}/kubenode"), arrival=lambda: arrival)
    marks = {"trial": "t", "target": FIRST}
    if stays:
        proving.do(STEP, marks)
    else:
        with pytest.raises(Stopped):
            proving.do(STEP, marks)
    assert Systemd(folder).kind() == ("good" if stays else "old")
    assert sum(waited) < 1 if arrival is Arrival.REPORTS else 2 * STEP.within <= sum(waited)
    verdict = one.trials.verdict("t")
    assert verdict is not None
    assert verdict.stays is stays


def test_an_act_is_written_and_read_and_named_without_its_url() -> None:
    """Which may hold a token."""
    raw = dump(STEP)
    assert STEP.url not in str(raw)
    assert load(raw, lambda digest: STEP.url.encode()) == STEP
    assert load(dump(CallOff(trial="t")), lambda digest: b"") == CallOff(trial="t")
    assert [named(STEP), named(CallOff(trial="t"))] == [
        f"upgrade the agent to bundle {STEP.sha256[:12]}",
        "end the trial of the new agent",
    ]
    assert "http" not in repr(STEP)


# The files of a trial.


def test_a_verdict_is_made_once_and_is_of_its_trial(folder: Path) -> None:
    """Whoever comes second is told what the first has made."""
    agent, other = (Trials(folder, Disk(), who) for who in ("agent", "fallback"))
    agent.begin(TRIAL)
    assert (other.current(), other.watches(), other.arrival("t"), other.verdict("t")) == (
        TRIAL,
        0,
        None,
        None,
    )
    assert [other.watch(), other.watch(), agent.watches()] == [1, 2, 2]
    agent.arrive("t", Arrival.KEEPS)
    assert (other.arrival("t"), other.arrival("u")) == (Arrival.KEEPS, None)
    assert other.conclude("t", BACK) == BACK
    assert agent.conclude("t", Verdict(stays=True)) == BACK
    assert agent.verdict("u") is None
    other.end()
    assert {one.name for one in folder.iterdir()} == {"upgrade.verdict"}
    assert (agent.current(), agent.verdict("t")) == (None, BACK)
    agent.begin(attrs.evolve(TRIAL, id="u"))
    assert (agent.verdict("t"), agent.verdict("u"), agent.watches()) == (None, None, 0)


def test_both_at_once_make_one_verdict(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither has seen the other's, and the file that is linked first counts."""
    agent, other = (Trials(folder, Disk(), who) for who in ("agent", "fallback"))
    agent.begin(TRIAL)
    write = Trials._write

    def slow(self: Trials, name: str, text: str) -> None:
        write(self, name, text)
        if self is agent:
            other.conclude("t", BACK)

    monkeypatch.setattr(Trials, "_write", slow)
    assert agent.conclude("t", Verdict(stays=True)) == BACK


@pytest.mark.parametrize("name", ["upgrade.json", "upgrade.verdict"])
def test_what_is_damaged_is_told(folder: Path, name: str) -> None:
    """And nothing is made of it."""
    trials = Trials(folder, Disk(), "agent")
    (folder / name).write_text("{")
    with pytest.raises(StepFailed, match=f"{name} is damaged"):
        trials.current() if name == "upgrade.json" else trials.verdict("t")


# The fallback.


def watching(
    place: Path, *, reached: bool = False, arrival: Arrival | None = None
) -> tuple[Verdict | None, int]:
    """Let the fallback of a host watch over a trial; give how it ends, and after how many looks."""
    prepared(place)
    host, trials = Systemd(place), Trials(place / "state", Disk(), "fallback")
    trials.begin(attrs.evolve(TRIAL, run=host.run))
    host._start(AGENT_UNIT)
    if arrival is not None:
        trials.arrive("t", arrival)
    looks: list[float] = []
    asked: list[tuple[str, int]] = []

    def reach(server: str, port: int) -> bool:
        asked.append((server, port))
        return reached

    found = Fallback(
        tree=Tree(host.root), units=Units(host, lambda _: None), trials=trials,
        elapsed=lambda: len(looks) * 1_000_000_000, pause=looks.append, reached=reach,
    ).run()  # fmt: skip
    assert set(asked) == ({("10.0.0.1", 6443)} if arrival is Arrival.KEEPS else set())
    assert trials.current() is None
    return found, len(looks)


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        ({}, Verdict(stays=False, why="it did not come up within 30 s")),
        ({"arrival": Arrival.KEEPS}, Verdict(stays=True)),
        (
            {"arrival": Arrival.KEEPS, "reached": True},
            Verdict(
                stays=False,
                why="it did not reach the API server within 30 s, and the agent before does",
            ),
        ),
    ],
)
def test_at_the_end_of_its_time_it_is_judged_by_what_it_says_and_whether_the_server_is_there(
    folder: Path, seen: dict[str, Any], verdict: Verdict
) -> None:
    """By the fallback's own look at the server."""
    assert watching(folder, **seen) == (verdict, 30)


def test_without_a_trial_the_fallback_ends_at_once(folder: Path) -> None:
    """Nothing is written, and nobody restarted."""
    prepared(folder)
    host = Systemd(folder)
    run = host.run
    trials = Trials(folder / "state", Disk(), "fallback")
    one = Fallback(tree=Tree(host.root), units=Units(host, lambda _: None), trials=trials, elapsed=lambda: 0, pause=lambda _: None)  # fmt: skip
    assert one.run() is None
    assert (host.run, list((folder / "state").iterdir())) == (run, [])


@pytest.mark.parametrize("link", [FIRST, "/opt/elsewhere"])
def test_a_link_that_a_person_has_changed_meanwhile_stays(folder: Path, link: str) -> None:
    """Only where it leads to the new agent it is put back."""
    prepared(folder)
    path = Systemd(folder).path(AGENT_PATH)
    path.unlink()
    path.symlink_to(link)
    host, trials = Systemd(folder), Trials(folder / "state", Disk(), "fallback")
    trials.begin(attrs.evolve(TRIAL, run=host.run))
    trials.conclude("t", BACK)
    before = host.run
    Fallback(tree=Tree(host.root), units=Units(host, lambda _: None), trials=trials, elapsed=lambda: 0, pause=lambda _: None).run()  # fmt: skip
    assert path.readlink() == Path(link)
    assert host.run == before  # it is the one that has begun the trial


def test_a_program_is_of_a_link_by_whole_names() -> None:
    """From the root, or from the link's folder."""
    assert is_of("/opt/kubenode/first/bin/kubenode", "first/bin")
    assert is_of("/opt/kubenode/a/bin/kubenode", "/opt/kubenode/a/bin")
    assert not is_of("/opt/kubenode/first/bin2/kubenode", "first/bin")
    assert not is_of("/opt/other/first/bin/kubenode", "first/bin")


def test_what_listens_is_reached_and_what_does_not_is_not() -> None:
    """By a connection, whatever it says."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert fallback.reached("127.0.0.1", port)
    assert not fallback.reached("127.0.0.1", port)


# What it asks of systemd.


def test_a_restart_that_is_not_waited_for_and_a_kill() -> None:
    """Each one call; what does not run is not killed."""
    systemd = States("active 1")
    systemd.units.restart_soon("app.service")
    systemd.units.kill("app.service")
    assert systemd.calls == [["--no-block", "restart", "--", "app.service"], ["--signal=SIGKILL", "kill", "--", "app.service"]]  # fmt: skip
    resting = States("failed 1")
    resting.units.kill("app.service")
    assert resting.calls == []


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("active 1", ("1", "")),
        ("active 1 Result=exit-code", ("1", "")),
        ("activating 2 Result=exit-code", ("2", "exit-code")),
        ("activating 2 Result=success", ("2", "")),
        ("failed 3 Result=signal", ("3", "signal")),
    ],
)
def test_the_last_run_of_a_unit_and_how_it_ended(state: str, found: tuple[str, str]) -> None:
    """Also while systemd waits to start it anew."""
    assert States(state).units.last_run("app.service") == found
