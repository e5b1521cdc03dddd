"""Driver `kubenode-agent`: the agent itself, as a bundle that is fetched by URL and checked by its SHA-256.

It has no configuration of its own here, and always counts as running: it is the agent that looks. It can neither stop nor
remove itself.
"""

import attrs

from kubenode.components.artifact import ArtifactParams
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.hookspecs import Desired, Have, Seen
from kubenode.core.model.entry import ConfigState, Running
from kubenode.core.naming import check_sha256, check_url
from kubenode.core.probe import ArtifactAt, Probe
from kubenode.core.step import AGENT_PATH, ArtifactFormat, Step, UpgradeAgent

_LEAST, _MOST = 10, 3600


def _check_within(_: object, field: "attrs.Attribute[int]", value: int) -> None:
    if not _LEAST <= value <= _MOST:
        raise ValueError(f"{field.name}: {value} is not from {_LEAST} to {_MOST} seconds")


@attrs.frozen(kw_only=True)
class AgentParams:
    """Which bundle.

    Attributes:
        url: of http or https; whoever may read the component may read it.
        sha256: of the bundle, 64 hexadecimal digits.
        within: seconds that the new agent has to come up, 10 to 3600.

    Raises:
        ValueError: a value cannot be what its field is for.
    """

    url: str = attrs.field(validator=check_url, repr=False)
    sha256: str = attrs.field(validator=check_sha256)
    within: int = attrs.field(default=120, validator=_check_within)

    @property
    def artifact(self) -> ArtifactParams:
        """Give the bundle as an artifact."""
        return ArtifactParams(
            path=AGENT_PATH, url=self.url, sha256=self.sha256, format=ArtifactFormat.TAR, member="bin"
        )


class AgentDriver:
    """Upgrade the agent, and replace a bundle that is not the one that is wanted."""

    name = "kubenode-agent"
    params = AgentParams

    def probes(self, want: Desired[AgentParams], /) -> tuple[Probe, ...]:
        """Look at which bundle the agent's link leads to."""
        return (ArtifactAt(AGENT_PATH),)

    def judge(self, want: Desired[AgentParams], seen: Seen, /) -> Have:
        """Judge the version; it is not known of a bundle that an import has brought."""
        mark = seen.artifacts.get(AGENT_PATH, "")
        version = want.params.artifact.named(mark, want.version)
        return Have(version=version, config=ConfigState.CURRENT, state=Running.RUNNING)

    def plan(self, want: Desired[AgentParams], have: Have, /) -> tuple[Step, ...]:
        """Give the step to the bundle that is wanted.

        Raises:
            InvalidObjectError: it should be Stopped or Absent.
        """
        if want.state is not Running.RUNNING:
            what = f"an agent cannot become {want.state.value} by itself"
            fix = "state: Running; systemctl disable --now kubenode-agent on the host ends it"
            raise InvalidObjectError((Problem(where="state", what=what, fix=fix),))
        if have.version == want.version:
            return ()
        params = want.params
        return (UpgradeAgent(url=params.url, sha256=params.sha256, within=params.within),)
