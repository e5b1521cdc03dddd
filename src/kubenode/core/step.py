"""Host steps as data. A driver returns them, the agent executes them; nothing here touches a host."""

import enum
from collections.abc import Mapping
from typing import TypeAlias

import attrs


class Undo(enum.Enum):
    """What a step that has no undo says out loud; never a default."""

    IRREVERSIBLE = "irreversible"


@attrs.frozen(kw_only=True)
class RestartUnit:
    """Restart a systemd unit; starting a stopped one is the same act."""

    unit: str


@attrs.frozen(kw_only=True)
class ReloadUnit:
    """Let a systemd unit read its configuration anew without a restart; one that does not run is started."""

    unit: str


@attrs.frozen(kw_only=True)
class EnableUnit:
    """Let systemd start a unit at boot, or not; what runs is not touched. Undo is what was."""

    unit: str
    enabled: bool


@attrs.frozen(kw_only=True)
class StopUnit:
    """Stop a systemd unit."""

    unit: str


Then: TypeAlias = RestartUnit | ReloadUnit
"""What loads a file that was written."""


@attrs.frozen(kw_only=True)
class WriteFile:
    """Replace a file atomically; undo is the old content.

    The write and `then` are one journal entry: killed in between, the agent does `then` first.
    `then` has no default: a file that is written but not loaded looks healthy and is not.

    Attributes:
        owner: name of a user; empty: whose it is, root's where it is new.
        group: name of a group; empty: whose it is, root's where it is new.
    """

    path: str
    content: bytes
    then: Then | None
    mode: int = 0o644
    owner: str = ""
    group: str = ""


@attrs.frozen(kw_only=True)
class RemoveFile:
    """Remove a file that has exactly this content; another content is somebody else's and stays. Undo is the file.

    `then` has no default, for the same reason as in WriteFile.
    """

    path: str
    content: bytes
    then: Then | None


@attrs.frozen(kw_only=True)
class InstallPackage:
    """Bring a package to an exact version; undo is the version before.

    `then` has no default, for the same reason as in WriteFile.

    Attributes:
        hold: keep everybody else's upgrades from it; a hold of somebody else is never lifted.
        anew: also when it is at that version already: its files may be damaged. Of a driver's steps it is the agent that says so.
    """

    package: str
    version: str
    then: RestartUnit | None
    hold: bool = True
    anew: bool = False


@attrs.frozen(kw_only=True)
class RemovePackage:
    """Remove a package; undo is to install the version before."""

    package: str


class ArtifactFormat(enum.Enum):
    """What an artifact is: one program, or a tar of files, as it is or with gzip."""

    BINARY = "binary"
    TAR = "tar"


@attrs.frozen(kw_only=True)
class InstallArtifact:
    """Let a path lead to an artifact of exact content, all at once; undo is what stood there.

    `then` has no default, for the same reason as in WriteFile.

    Attributes:
        path: where it stands: a symbolic link to what was fetched and is kept.
        url: from where it is fetched when it is not kept. It may hold a token, so it is never shown.
        sha256: of what is fetched, 64 hexadecimal digits; nothing else is unpacked or kept.
        member: of a tar: the file or folder in it that the path leads to; empty for all of it.
    """

    path: str
    url: str = attrs.field(repr=False)
    sha256: str
    then: RestartUnit | None
    format: ArtifactFormat = ArtifactFormat.BINARY
    member: str = ""

    @property
    def mark(self) -> str:
        """Give what ArtifactAt finds where this is whole."""
        return artifact_mark(self.sha256, self.format, self.member)


@attrs.frozen(kw_only=True)
class RemoveArtifact:
    """Remove what InstallArtifact let a path lead to; undo is to let it lead there again."""

    path: str


AGENT_PATH = "/opt/kubenode/bin"
"""Where the agent itself stands: a symbolic link to the `bin` of the bundle in use."""
AGENT_UNIT = "kubenode-agent.service"


@attrs.frozen(kw_only=True)
class UpgradeAgent:
    """Let the agent of a bundle take over, on trial: from one that does not come up the host goes back by itself.

    Alone in its plan: the agent ends in the middle of it. Undo is the agent before.

    Attributes:
        url: from where the bundle is fetched when it is not kept. It may hold a token, so it is never shown.
        sha256: of the bundle, 64 hexadecimal digits.
        within: seconds that the new agent has to come up.
    """

    url: str = attrs.field(repr=False)
    sha256: str
    within: int

    @property
    def installation(self) -> InstallArtifact:
        """Give the bundle as an artifact."""
        return InstallArtifact(
            path=AGENT_PATH, url=self.url, sha256=self.sha256, format=ArtifactFormat.TAR, member="bin", then=None
        )  # fmt: skip


@attrs.frozen(kw_only=True)
class SetKernel:
    """Load modules of the kernel and give settings values, now and for the next boot; undo is what was.

    All of it is one journal entry: after a boot that has read the files nobody would know what was before.

    Attributes:
        name: of the files, in `/etc/modules-load.d` and `/etc/sysctl.d`.
        modules: loaded in order, before the values are given.
        sysctl: settings and their values. Some are secrets, so none is shown.
    """

    name: str
    modules: tuple[str, ...] = ()
    sysctl: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)

    @property
    def files(self) -> Mapping[str, bytes]:
        """Give the files for the next boot by path; one of nothing is left out."""
        modules = "".join(f"{module}\n" for module in self.modules)
        settings = "".join(f"{key} = {value}\n" for key, value in self.sysctl)
        both = {
            f"/etc/modules-load.d/{self.name}.conf": modules,
            f"/etc/sysctl.d/90-{self.name}.conf": settings,
        }
        return {path: text.encode() for path, text in both.items() if text}


@attrs.frozen(kw_only=True)
class Reboot:
    """Reboot the host."""


@attrs.frozen(kw_only=True)
class ReinstallComponent:
    """Put what a component brings onto a host down again, though it looks right: a file that is damaged, a program that hangs.

    A step of a remedy. Which host steps that is says the component's driver, which the agent asks.

    Attributes:
        component: the name of the Machine's entry. What is put down is what was last found whole there.
    """

    component: str


@attrs.frozen(kw_only=True)
class RestartInstance:
    """Have the provider restart the machine's instance: without its agent, and from outside, as a cloud's maintenance asks for.

    Alone in the plan of a remedy; no host runs it.
    """


@attrs.frozen(kw_only=True)
class ConfirmMaintenance:
    """Consent to the maintenance of the machine's instance that its cloud has planned, and does not begin without a word.

    Alone in the plan of a remedy; no host runs it.
    """


@attrs.frozen(kw_only=True)
class ReplaceMachine:
    """End the machine, so that its MachineSet makes another one.

    Alone in the plan of a remedy; no host runs it. Of a machine that nothing would make anew nothing is done.
    """


Step: TypeAlias = (
    RestartUnit
    | ReloadUnit
    | EnableUnit
    | StopUnit
    | WriteFile
    | RemoveFile
    | InstallPackage
    | RemovePackage
    | InstallArtifact
    | RemoveArtifact
    | SetKernel
    | UpgradeAgent
    | Reboot
)
ProviderStep: TypeAlias = RestartInstance | ConfirmMaintenance | ReplaceMachine
"""What no agent takes part in; alone in a plan."""
RemedyStep: TypeAlias = Step | ReinstallComponent | ProviderStep


def artifact_mark(sha256: str, form: ArtifactFormat, member: str) -> str:
    """Give what names the whole content of an artifact, or of one member of it."""
    return sha256 if form is ArtifactFormat.BINARY else f"{sha256}:/{member}"
