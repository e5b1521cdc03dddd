"""The driver of the agent itself: its table, and what it does not take."""

from typing import Any

import attrs
import pytest

from kubenode.components import AgentDriver, AgentParams, Desired, InvalidObjectError, Running, UpgradeAgent
from kubenode.components.conformance import FakeHost
from kubenode.core.model.entry import ConfigState
from kubenode.core.step import AGENT_PATH, ArtifactFormat

URL, SHA = "https://x/kubenode.tar.gz?token=s3cr3t", "2" * 64
PARAMS = AgentParams(url=URL, sha256=SHA, within=60)
DRIVER = AgentDriver()


def want(state: Running = Running.RUNNING) -> Desired[AgentParams]:
    """Want version 0.2.0."""
    return Desired(version="0.2.0", params=PARAMS, state=state)


@pytest.mark.parametrize(
    ("mark", "version"),
    [(None, ""), ("", ""), (f"{'1' * 64}:/bin", "sha256:111111111111"), (SHA, "sha256:222222222222"), (f"{SHA}:/bin", "0.2.0")],
)  # fmt: skip
def test_the_bundle_is_the_version(mark: str | None, version: str) -> None:
    """Of an import's bundle it is not known, and so it is exchanged once; the program alone is no bundle."""
    host = FakeHost(artifacts={} if mark is None else {AGENT_PATH: mark})
    have = DRIVER.judge(want(), host.look(DRIVER.probes(want())))
    assert (have.version, have.config, have.state) == (version, ConfigState.CURRENT, Running.RUNNING)
    step = UpgradeAgent(url=URL, sha256=SHA, within=60)
    assert DRIVER.plan(want(), have) == (() if version == "0.2.0" else (step,))
    host.apply(*DRIVER.plan(want(), have))
    after = DRIVER.judge(want(), host.look(DRIVER.probes(want())))
    assert (after.version, DRIVER.plan(want(), after)) == ("0.2.0", ())


def test_it_is_fetched_as_the_bin_of_a_tar() -> None:
    """And shown without its URL."""
    step = UpgradeAgent(url=URL, sha256=SHA, within=60)
    made = step.installation
    assert (made.path, made.url, made.sha256, made.format, made.member, made.then) == (
        AGENT_PATH, URL, SHA, ArtifactFormat.TAR, "bin", None,
    )  # fmt: skip
    assert "s3cr3t" not in repr(step) + repr(PARAMS)
    assert (AgentParams(url=URL, sha256=SHA).within, AGENT_PATH) == (120, "/opt/kubenode/bin")


@pytest.mark.parametrize("state", [Running.STOPPED, Running.ABSENT])
def test_it_does_not_end_itself(state: Running) -> None:
    """Whatever is there; it says what to do."""
    for mark in ({}, {AGENT_PATH: f"{SHA}:/bin"}):
        have = DRIVER.judge(want(state), FakeHost(artifacts=mark).look(DRIVER.probes(want(state))))
        with pytest.raises(
            InvalidObjectError,
            match=f"an agent cannot become {state.value} by itself(.|\\n)*systemctl disable",
        ):
            DRIVER.plan(want(state), have)


@pytest.mark.parametrize(
    "changes", [{"within": 9}, {"within": 3601}, {"sha256": "2" * 63}, {"url": "ftp://x/y"}]
)
def test_what_is_none_is_refused(changes: dict[str, Any]) -> None:
    """With the field's name."""
    with pytest.raises(ValueError, match=next(iter(changes))):
        attrs.evolve(PARAMS, **changes)
    assert [attrs.evolve(PARAMS, within=one).within for one in (10, 3600)] == [10, 3600]
