"""The import of a host: whole, again, and with every call to the host going wrong in every way."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode.core.errors import ApiError, InvalidObjectError, Refused, Unreachable
from kubenode.runtime.agent.keys import valid
from kubenode.runtime.bootstrap import steps as s
from kubenode.runtime.bootstrap.archive import read_bundle
from kubenode.runtime.bootstrap.arrival import NotImported, StillComing
from kubenode.runtime.bootstrap.importing import Import, Imported
from kubenode.runtime.bootstrap.remote import Lost
from tests.runtime.bootstrap.rooted import NOW, Fault, Stand, certificate, packed, stand


def done(wanted: Import) -> Imported:
    """Import."""
    return asyncio.run(wanted.run())


def went(wanted: Import) -> Exception | None:
    """Import, and give how it failed."""
    try:
        done(wanted)
    except (NotImported, Lost, InvalidObjectError) as error:
        return error
    return None


def link(made: Stand) -> str:
    """Give what the link in /opt/kubenode points to."""
    return str((made.host.root / s.LINK[1:]).readlink())


def test_a_bare_host_becomes_a_machine(tmp_path: Path) -> None:
    """Machine, token, kubenode, unit, certificate, Running; the token is gone from the host and from the server."""
    made = stand(tmp_path)
    result = done(made.importing(labels={"pool": "general"}))
    assert (result.created, result.phase) == (True, "Running")
    assert made.bundle is not None
    folder = made.bundle.name
    assert [step.split(" ")[0] for step in result.steps] == ["unpack", "point", *["write"] * 4, "enable"]
    state = made.host.state()
    assert link(made) == f"{folder}/bin"
    assert state[f"opt/kubenode/{folder}/bin/kubenode"][0] == 0o755
    assert state["etc/kubenode/agent.env"] == (0o600, b"MACHINE=h1\nSERVER=https://10.0.0.1:6443\n")
    assert state["etc/kubenode/ca.crt"][0] == 0o600
    assert state[s.UNIT_FILE[1:]][0] == 0o644
    assert state["runs"]
    assert "etc/kubenode/token" not in state
    assert not [name for name in state if ".new" in name or name.endswith(".tar.gz")]
    assert made.server.tokens() == []
    machine = made.server.objects["Machine", "h1"]
    assert (machine["metadata"]["labels"], machine["spec"]["host"]) == (
        {"pool": "general"},
        {"address": "h1"},
    )


def test_done_again_it_changes_nothing_and_makes_no_token(tmp_path: Path) -> None:
    """An agent that is there and runs is adopted: nothing is written, restarted or issued."""
    made = stand(tmp_path)
    done(made.importing())
    before, objects, starts = made.host.state(), dict(made.server.objects), made.host.starts
    again = done(made.importing())
    assert (again.created, again.steps, again.phase) == (False, (), "Running")
    assert (made.host.state(), made.server.objects, made.host.starts) == (before, objects, starts)


def test_a_dry_run_changes_nothing_and_says_the_same_steps(tmp_path: Path) -> None:
    """It looks only; the server is asked whether it would take the Machine."""
    made = stand(tmp_path)
    before = made.host.state()
    would = asyncio.run(made.importing().plan())
    assert (made.host.state(), made.server.objects) == (before, {})
    did = done(made.importing())
    assert (would.steps, would.created) == (did.steps, did.created)


def test_another_bundle_is_put_beside_the_old_one_and_the_agent_restarted(tmp_path: Path) -> None:
    """The link is switched; what was there stays, for the way back; no new certificate is asked for."""
    made = stand(tmp_path)
    done(made.importing())
    old = link(made)
    (tmp_path / "next").mkdir()
    made.bundle = read_bundle(packed(tmp_path / "next", b"#!/bin/sh\necho 0.2.0\n", b'{"version": "0.2.0"}'))
    result = done(made.importing())
    assert [step.split(" ")[0] for step in result.steps] == ["unpack", "point", "enable"]
    assert link(made) != old
    assert (made.host.root / "opt/kubenode" / old / "kubenode").exists()
    assert (made.host.starts, made.server.tokens()) == (2, [])


def test_what_a_person_has_set_stays(tmp_path: Path) -> None:
    """Options in the settings are kept when the server changes."""
    made = stand(tmp_path)
    done(made.importing())
    env = made.host.root / s.ENV[1:]
    env.write_bytes(
        b"# gr\xfcn, as no UTF-8 has it\nMACHINE=h1\nOPTIONS=--inspect-seconds 60\nSERVER=https://old:6443\n"
    )
    result = done(made.importing())
    assert [step.split(" ")[0] for step in result.steps] == ["write", "enable"]
    assert env.read_bytes() == (
        b"MACHINE=h1\nSERVER=https://10.0.0.1:6443\n# gr\xfcn, as no UTF-8 has it\nOPTIONS=--inspect-seconds 60\n"
    )


def test_a_machine_that_was_made_anew_gets_a_certificate_of_its_own(tmp_path: Path) -> None:
    """The identity of the earlier incarnation is put aside; the agent enrols for the new one."""
    made = stand(tmp_path)
    done(made.importing())
    old = (made.host.root / s.IDENTITY[1:]).read_bytes()
    del made.server.objects["Machine", "h1"]
    result = done(made.importing())
    assert [step.split(" ")[0] for step in result.steps] == ["rename", "write", "enable"]
    assert (made.host.root / s.RETIRED[1:]).read_bytes() == old
    assert (made.host.root / s.IDENTITY[1:]).read_bytes() != old


def test_an_agent_that_does_not_come_is_taken_away_again(tmp_path: Path) -> None:
    """It ends again and again: what it said is told, the host is as it was, the token is deleted; the Machine stays."""
    made = stand(tmp_path)
    before = made.host.state()
    made.host.refuses = True
    with pytest.raises(NotImported) as caught:
        done(made.importing())
    assert "ends again and again; it said: the server does not know the token" in str(caught.value)
    assert str(caught.value).endswith("the host is as it was")
    assert (made.host.state(), made.server.tokens()) == (before, [])
    assert ("Machine", "h1") in made.server.objects
    made.host.refuses = False
    assert done(made.importing()).phase == "Running"


def test_a_server_that_is_away_for_a_while_is_waited_for(tmp_path: Path) -> None:
    """It says nothing of the agent: nothing is undone, and what it says later counts."""
    made = stand(tmp_path)
    made.server.fails = 3, Unreachable("GET machines/h1: cut off")
    assert done(made.importing()).phase == "Running"
    assert made.told.count("the server does not answer, and is asked again: GET machines/h1: cut off") == 1
    assert "undoing" not in " ".join(made.told)


@pytest.mark.parametrize(
    ("reads", "error"),
    [(10**6, Unreachable("GET machines/h1: cut off")), (1, Refused("machines h1: 422"))],
    ids=["away", "refused"],
)
def test_an_agent_of_which_the_server_cannot_tell_is_left_alone(
    tmp_path: Path, reads: int, error: ApiError
) -> None:
    """It may be at work by now, with a journal on the host: the host is not taken from it, and the next run goes on."""
    made = stand(tmp_path)
    made.server.fails = reads, error
    with pytest.raises(StillComing, match=r"stays; the server cannot be asked whether it came") as caught:
        done(attrs.evolve(made.importing(), report=0.05))
    assert str(error) in str(caught.value)
    assert caught.value.fix == "mend that, and repeat the command: it goes on where it was"
    assert (made.host.unit_runs, made.host.starts, made.server.enrolled) == (True, 1, 1)
    made.server.fails = 0, error
    assert done(made.importing()).phase == "Running"
    assert (made.host.starts, made.server.enrolled) == (1, 1)


def test_a_machine_that_is_not_running_in_time_keeps_its_agent(tmp_path: Path) -> None:
    """The host is the agent's by then; the same command watches it again."""
    made = stand(tmp_path)
    done(made.importing())
    made.server.objects["Machine", "h1"]["status"]["phase"] = "Importing"
    before = made.host.state()
    with pytest.raises(StillComing, match=r"not Running in time, and goes on: Importing"):
        done(made.importing(limit=timedelta(seconds=0.05)))
    assert made.host.state() == before


def test_a_step_that_is_interrupted_by_a_person_is_undone(tmp_path: Path) -> None:
    """Ctrl-C while its certificate is waited for."""
    made = stand(tmp_path)
    before = made.host.state()
    wanted = made.importing()

    async def interrupted() -> None:
        made.server.enrol = lambda *_: "nobody"  # type: ignore[method-assign]
        work = asyncio.create_task(wanted.run())
        while "waits for its certificate" not in made.told:
            await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(interrupted())
    assert (made.host.state(), made.server.tokens()) == (before, [])


def _env(made: Stand, text: str) -> None:
    path = made.host.root / s.ENV[1:]
    path.parent.mkdir()
    path.write_text(text)


def _foreign(made: Stand) -> None:
    (made.host.root / s.LINK[1:]).mkdir(parents=True)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda made: setattr(made.host, "uid", "1000"), "is not root"),
        (lambda made: setattr(made.host, "greeting", "Welcome\n"), r"says 'Welcome\\n0' when"),
        (lambda made: _env(made, "MACHINE=other\n"), "is the host of Machine other already"),
        (_foreign, "is no link"),
        (lambda made: setattr(made, "bundle", None), "has no kubenode"),
        (lambda made: setattr(made, "bundle", attrs.evolve(made.bundle, machine="riscv64")), "for riscv64"),
        (
            lambda made: setattr(made, "bundle", attrs.evolve(made.bundle, size=1 << 60)),
            "MiB free below /opt",
        ),
    ],
)
def test_a_host_that_cannot_have_it_is_refused_before_anything_is_made(
    tmp_path: Path, change: Any, what: str
) -> None:
    """No Machine, no token, nothing on the host; the problem has a fix."""
    made = stand(tmp_path)
    change(made)
    before = made.host.state()
    with pytest.raises(InvalidObjectError, match=what) as caught:
        done(made.importing())
    assert all(one.fix for one in caught.value.problems)
    assert (made.host.state(), made.server.objects) == (before, {})


def test_a_machine_of_another_host_is_left_alone(tmp_path: Path) -> None:
    """The name is taken."""
    made = stand(tmp_path)
    done(made.importing())
    with pytest.raises(InvalidObjectError, match="is of host h1"):
        done(made.importing(host="h2"))


def _prepared(folder: Path, case: str) -> Stand:
    """Give a bare host, or one with an agent of an older bundle and of an earlier incarnation of its Machine."""
    made = stand(folder)
    if case == "bare":
        return made
    done(made.importing())
    del made.server.objects["Machine", "h1"]
    (folder / "next").mkdir()
    made.bundle = read_bundle(packed(folder / "next", b"#!/bin/sh\necho 0.2.0\n", b'{"version": "0.2.0"}'))
    (made.host.root / s.IDENTITY[1:]).write_bytes(certificate("uid-earlier"))
    return made


def well(made: Stand) -> None:
    """Look that the host is as an import leaves it."""
    assert made.bundle is not None
    state = made.host.state()
    assert (link(made), state["runs"], made.server.tokens()) == (f"{made.bundle.name}/bin", True, [])
    assert state[s.UNIT_FILE[1:]][0] == 0o644
    left = [name for name in state if ".new" in name or name.endswith((".tar.gz", "kubenode/token"))]
    assert not left


def _calls(folder: Path, case: str) -> int:
    """Count the calls of an import in which nothing goes wrong."""
    folder.mkdir()
    fault = Fault()
    done(_prepared(folder, case).importing(fault))
    return fault.calls


@pytest.mark.parametrize("case", ["bare", "upgrade"])
@pytest.mark.parametrize(("lost", "after"), [(False, False), (False, True), (True, True)])
def test_whatever_fails_the_host_is_as_it_was_and_the_next_run_goes_on(
    tmp_path: Path, case: str, after: bool, lost: bool
) -> None:
    """Each call in turn is refused, or breaks the connection off, before or after it was done; a new connection can be made."""
    failed = 0
    for at in range(_calls(tmp_path / "count", case)):
        folder = tmp_path / str(at)
        folder.mkdir()
        made = _prepared(folder, case)
        before = made.host.state()
        error = went(made.importing(Fault(at=at, lost=lost, after=after)))
        if error is not None:
            failed += 1
            assert made.host.state() == before, f"call {at}: {error}"
            assert made.server.tokens() == [], at
            assert case == "bare" or made.host.unit_runs
            done(made.importing())
        if (made.host.root / s.TOKEN[1:]).exists():  # it failed to be removed, when all was well
            (made.host.root / s.TOKEN[1:]).unlink()
        well(made)
    assert failed > 20


@pytest.mark.parametrize("case", ["bare", "upgrade"])
def test_a_host_that_is_not_reached_any_more_is_taken_up_by_the_next_run(tmp_path: Path, case: str) -> None:
    """The connection breaks off at each call, and there is no other: what was done stays, and is said; then it goes on."""
    for at in range(_calls(tmp_path / "count", case)):
        folder = tmp_path / str(at)
        folder.mkdir()
        made = _prepared(folder, case)
        error = went(made.importing(Fault(at=at, lost=True, after=True, again=False)))
        if error is not None:
            assert getattr(error, "fix", ""), at
            assert made.server.tokens() == [], at
            if made.host.refuses:  # it was started with a token that is deleted since
                made.host.refuses = False
            done(made.importing())
        (made.host.root / s.TOKEN[1:]).unlink(missing_ok=True)
        well(made)


def test_the_fixture_knows_the_time() -> None:
    """A certificate that is over is none: the agent asks with a token."""
    assert valid(certificate("u", NOW))[1] == NOW
