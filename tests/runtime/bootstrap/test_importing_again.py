"""An import that meets what was before it, or is beside it: earlier ones, another one at the same time, and names that are none."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kubenode.core.errors import ApiError, InvalidObjectError, Refused, Unreachable
from kubenode.runtime.bootstrap import steps as s
from kubenode.runtime.bootstrap.archive import read_bundle
from kubenode.runtime.bootstrap.arrival import NotImported, StillComing
from kubenode.runtime.enrolment import issue
from tests.runtime.bootstrap.rooted import NOW, Fault, packed, stand
from tests.runtime.bootstrap.test_importing import done, link, well


def test_a_machine_that_was_made_anew_again_and_again_is_imported_each_time(tmp_path: Path) -> None:
    """Of the identities of earlier ones only the last is kept; it is of use to nobody."""
    made = stand(tmp_path)
    done(made.importing())
    for _ in range(3):
        old = (made.host.root / s.IDENTITY[1:]).read_bytes()
        del made.server.objects["Machine", "h1"]
        assert done(made.importing()).phase == "Running"
        assert (made.host.root / s.RETIRED[1:]).read_bytes() == old


def test_a_new_bundle_that_does_not_run_is_not_believed_for_the_report_of_the_one_before(
    tmp_path: Path,
) -> None:
    """The agent before has reported from the same boot: that says nothing of the new one, so it is waited for, and undone."""
    made = stand(tmp_path)
    done(made.importing())
    before = made.host.state()
    (tmp_path / "next").mkdir()
    made.bundle = read_bundle(packed(tmp_path / "next", b"#!/bin/sh\necho 0.2.0\n", b'{"version": "0.2.0"}'))
    made.host.refuses = True
    execute = made.host.execute

    def signed(argv: Any) -> tuple[int, str, str]:
        """Be the agent before, which reports as long as it runs."""
        if argv[0] == "mv":
            made.server.sign("h1")
            made.server.objects["Machine", "h1"]["status"]["agent"]["nodeName"] = "h1"
        return execute(argv)

    made.host.execute = signed  # type: ignore[method-assign]
    with pytest.raises(NotImported, match=r"ends again and again.*the host is as it was$"):
        done(made.importing())
    assert made.host.state() == before
    made.host.refuses = False
    assert done(made.importing()).phase == "Running"
    assert made.bundle is not None
    assert link(made) == f"{made.bundle.name}/bin"


def test_what_another_import_of_the_host_has_done_meanwhile_is_not_undone(tmp_path: Path) -> None:
    """Two people at once: the second makes a token, which ends that of the first, and has its agent Running. The first leaves it."""
    made = stand(tmp_path)
    second = made.importing()
    create, began = made.server.create, False

    async def overtaken(kind: Any, obj: Any, **more: Any) -> Any:
        nonlocal began
        stored = await create(kind, obj, **more)
        if kind.name == "Secret" and not began:
            began = True
            assert (await second.run()).phase == "Running"
        return stored

    made.server.create = overtaken  # type: ignore[method-assign]
    with pytest.raises(StillComing, match="somebody has made another token for it since") as caught:
        done(made.importing())
    assert caught.value.fix.endswith("repeat the command: it goes on where that ends")
    assert "undoing" not in " ".join(made.told)
    assert (made.host.unit_runs, made.host.starts) == (True, 1)
    made.server.create = create  # type: ignore[method-assign]
    again = done(made.importing())
    assert (again.steps, again.phase) == ((), "Running")


@pytest.mark.parametrize("at", range(18, 42, 4))
def test_who_fails_after_another_import_has_begun_leaves_the_host_to_it(tmp_path: Path, at: int) -> None:
    """A step fails, and a token was made since: what is on the host may be the other's, so nothing is undone; it goes on."""
    made = stand(tmp_path)
    create, tokens = made.server.create, 0

    async def overtaken(kind: Any, obj: Any, **more: Any) -> Any:
        nonlocal tokens
        stored = await create(kind, obj, **more)
        tokens += kind.name == "Secret"
        if kind.name == "Secret" and tokens == 1:
            await issue(made.server, made.server.objects["Machine", "h1"], NOW)  # type: ignore[arg-type]
        return stored

    made.server.create = overtaken  # type: ignore[method-assign]
    with pytest.raises(StillComing, match="the host is left to it"):
        done(made.importing(Fault(at=at)))
    assert len(made.server.tokens()) == 1
    made.host.refuses = False
    assert done(made.importing()).phase == "Running"
    (made.host.root / s.TOKEN[1:]).unlink(missing_ok=True)
    well(made)


@pytest.mark.parametrize("name", ["2001:db8::1", "h_1", "H1", "h1.", ""])
def test_a_host_whose_name_no_machine_can_have_needs_another(tmp_path: Path, name: str) -> None:
    """Such as an address of IPv6; the host is one all the same."""
    made = stand(tmp_path)
    for way in (made.importing(host="2001:db8::1", name=name).plan, made.importing(name=name).run):
        with pytest.raises(InvalidObjectError, match="is no name of an object") as caught:
            asyncio.run(way())
        assert caught.value.problems[0].fix.startswith("--name, of small letters")
    assert made.server.objects == {}
    assert done(made.importing(host="2001:db8::1", name="n9")).phase == "Running"


def test_a_name_that_is_too_long_for_a_certificate_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    """In a dry run, too; such are the full names of many clouds' hosts."""
    made = stand(tmp_path)
    long = f"ip-10-0-0-11.{'x' * 36}"
    assert len(long) == 49
    asyncio.run(made.importing(name=long).plan())
    for way in (made.importing(name=f"{long}x").plan, made.importing(name=f"{long}x").run):
        with pytest.raises(InvalidObjectError, match="longer than the 49 characters") as caught:
            asyncio.run(way())
        assert caught.value.problems[0].fix == "--name, a shorter one"
    assert made.server.objects == {}


def test_a_server_that_is_away_while_it_is_watched_ends_nothing(tmp_path: Path) -> None:
    """The host is the agent's by then; what the server refuses ends the watching with what it said."""
    made = stand(tmp_path)
    done(made.importing())
    get, asked = made.server.get, 0
    error: ApiError = Unreachable("GET machines/h1: cut off")

    async def away(kind: Any, name: str) -> Any:
        nonlocal asked
        asked += kind.name == "Machine"
        if asked in {2, 3}:
            raise error
        return await get(kind, name)

    made.server.get = away  # type: ignore[method-assign]
    assert done(made.importing()).phase == "Running"
    assert made.told.count("the server does not answer, and is asked again: GET machines/h1: cut off") == 1
    asked, error = 0, Refused("machines h1: 422")
    with pytest.raises(Refused):
        done(made.importing())
