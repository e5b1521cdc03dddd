"""Host steps as data. A driver returns them, the agent executes them; nothing here touches a host."""

import enum
from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from kubenode.core.errors import Problem
from kubenode.core.model.meta import LABEL, UNIT_PATTERN, matches

PACKAGE_PATTERN = "^[A-Za-z0-9][A-Za-z0-9+._-]*$"
ACCOUNT_PATTERN = "^[a-z_][a-z0-9_-]{0,31}$"
PATH_PATTERN = r"^(/[^/\x00-\x1f\x7f]+)+$"
SYSCTL_PATTERN = "^[A-Za-z0-9_-]+([./][A-Za-z0-9_.:@-]+)+$"
MODULE_PATTERN = "^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$"
SHA256_PATTERN = "^[0-9a-f]{64}$"
URL_PATTERN = (
    r"^https?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[!\x22$-~]*)?$"
)
"""Of http or https, without a user, a fragment or a character that would have to be quoted."""


class Undo(enum.Enum):
    """What a step that has no undo says out loud; never a default."""

    IRREVERSIBLE = "irreversible"


@attrs.frozen
class ReadFile:
    """Look at a file."""

    path: str


@attrs.frozen
class UnitState:
    """Look at the active state of a systemd unit."""

    unit: str


@attrs.frozen
class UnitEnabled:
    """Look at whether systemd starts a unit at boot: its UnitFileState, such as `enabled`, `disabled` or `static`."""

    unit: str


@attrs.frozen
class FileAccess:
    """Look at whose a file is, and who may do what with it."""

    path: str


@attrs.frozen(kw_only=True)
class Access:
    """Whose a file is, and who may do what with it.

    Attributes:
        mode: its permissions.
        owner: name of a user; the number where it has none.
        group: name of a group; the number where it has none.
    """

    mode: int = 0o644
    owner: str = "root"
    group: str = "root"


@attrs.frozen
class PackageVersion:
    """Look at the installed version of a package."""

    package: str


@attrs.frozen
class PackageHeld:
    """Look at whether a package that is installed is kept from upgrades, whoever holds it."""

    package: str


@attrs.frozen
class ArtifactAt:
    """Look at which artifact stands at a path, by its bytes: as `InstallArtifact.mark`; empty for what is none or not whole."""

    path: str


def _check_argv(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    if not isinstance(value, tuple) or not value or not all(isinstance(one, str) for one in value):
        raise ValueError(
            f'{field.name}: {value!r} is no tuple of a program and its arguments such as ("/bin/df", "-h"); no shell takes it apart'
        )


@attrs.frozen
class Exec:
    """Run a program and look at how it ends; no shell.

    Attributes:
        argv: the path of the program, and its arguments.
        timeout: seconds; then it is killed, and there is no answer.

    Raises:
        ValueError: `argv` is no tuple of texts.
    """

    argv: tuple[str, ...] = attrs.field(validator=_check_argv)
    timeout: int = 5


@attrs.frozen
class HttpGet:
    """Ask a URL; `timeout` in seconds. Redirects are not followed, certificates not verified."""

    url: str
    timeout: int = 5


@attrs.frozen
class TcpConnect:
    """Open a connection and close it; `timeout` in seconds."""

    host: str
    port: int
    timeout: int = 5


@attrs.frozen(kw_only=True)
class CheckAnswer:
    """What came in time of an Exec, HttpGet or TcpConnect.

    Attributes:
        code: the exit code; the HTTP status; 0 of a connection that was accepted.
        text: the first 4096 characters of what an Exec printed. It may hold a secret, so it is never shown.
    """

    code: int
    text: str = attrs.field(default="", repr=False)


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


Check: TypeAlias = Exec | HttpGet | TcpConnect
"""A probe that asks something that runs; what does not answer has no entry in what was seen."""
Probe: TypeAlias = (
    ReadFile | FileAccess | UnitState | UnitEnabled | PackageVersion | PackageHeld | ArtifactAt | Check
)
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


RUNS = frozenset({"active", "reloading"})
"""Active states of systemd in which a unit does its work."""


def is_unit(text: str) -> bool:
    """Tell whether a text can name a systemd unit and nothing else."""
    return len(text) <= 255 and matches(UNIT_PATTERN, text)


def is_component(text: str) -> bool:
    """Tell whether a text can name an entry of a Machine's components."""
    return len(text) <= 63 and matches(f"^{LABEL}$", text)


def is_account(text: str) -> bool:
    """Tell whether a text can name a user or a group."""
    return matches(ACCOUNT_PATTERN, text)


def is_path(text: str) -> bool:
    """Tell whether a text is an absolute path that stays where it says: no `.`, `..`, `//` or control character."""
    return len(text) <= 4096 and matches(PATH_PATTERN, text) and not {".", ".."}.intersection(text.split("/"))


def is_package(text: str) -> bool:
    """Tell whether a text can name a package and is no option of the package manager."""
    return len(text) <= 128 and matches(PACKAGE_PATTERN, text)


def is_sha256(text: str) -> bool:
    """Tell whether a text is a SHA-256 in small hexadecimal digits."""
    return matches(SHA256_PATTERN, text)


def is_url(text: str) -> bool:
    """Tell whether a text is an http or https URL without a user, a fragment or a space."""
    return len(text) <= 2048 and matches(URL_PATTERN, text)


def is_sysctl(text: str) -> bool:
    """Tell whether a text can name a setting of the kernel, with dots or slashes between its parts."""
    return len(text) <= 256 and matches(SYSCTL_PATTERN, text) and is_path(sysctl_path(text))


def is_sysctl_value(text: str) -> bool:
    """Tell whether a text can be the value of a setting: one line that is not blank."""
    return len(text) <= 1024 and matches(r"^[^\x00-\x08\x0a-\x1f\x7f]*$", text) and bool(text.strip())


def is_module(text: str) -> bool:
    """Tell whether a text can name a module of the kernel and is no option of modprobe."""
    return matches(MODULE_PATTERN, text)


def sysctl_path(key: str) -> str:
    """Give the file of a setting. Where there is a slash in its name, dots belong to the parts.

    >>> sysctl_path("net.ipv4.ip_forward")
    '/proc/sys/net/ipv4/ip_forward'
    >>> sysctl_path("net/ipv4/conf/eth0.1/rp_filter")
    '/proc/sys/net/ipv4/conf/eth0.1/rp_filter'
    """
    return f"/proc/sys/{key if '/' in key else key.replace('.', '/')}"


def module_path(module: str) -> str:
    """Give the file that says the state of a module; there is none of what is not loaded, or built in."""
    return f"/sys/module/{module.replace('-', '_')}/initstate"


def artifact_mark(sha256: str, form: ArtifactFormat, member: str) -> str:
    """Give what names the whole content of an artifact, or of one member of it."""
    return sha256 if form is ArtifactFormat.BINARY else f"{sha256}:/{member}"


def check_unit(_: object, field: "attrs.Attribute[Any]", value: str | None) -> None:
    """Refuse, as an attrs validator, what is no unit; None passes.

    Raises:
        ValueError: with the field's name and an example.
    """
    if value is not None and not is_unit(value):
        raise ValueError(f"{field.name}: {value!r} is not the name of a unit such as kubelet.service")


def check_component(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what can name no entry of a Machine's components.

    Raises:
        ValueError: with the field's name and an example.
    """
    if not is_component(value):
        raise ValueError(f"{field.name}: {value!r} is not the name of a component's entry such as kubelet")


def check_path(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what is no plain absolute path.

    Raises:
        ValueError: with the field's name and an example.
    """
    if not is_path(value):
        raise ValueError(
            f"{field.name}: {value!r} is not a plain absolute path such as /etc/chrony/chrony.conf"
        )


def check_account(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what can be no user and no group; an empty text passes.

    Raises:
        ValueError: with the field's name and an example.
    """
    if value and not is_account(value):
        raise ValueError(f"{field.name}: {value!r} is not the name of a user or a group such as root")


def check_package(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what is no package name.

    Raises:
        ValueError: with the field's name and an example.
    """
    if not is_package(value):
        raise ValueError(f"{field.name}: {value!r} is not the name of a package such as kubelet")


def check_sha256(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what is no SHA-256.

    Raises:
        ValueError: with the field's name and what to write.
    """
    if not is_sha256(value):
        raise ValueError(f"{field.name}: {value!r} is no SHA-256; write the 64 digits that sha256sum prints")


def check_url(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what is no URL of http or https.

    Raises:
        ValueError: with the field's name and an example, and never with the value: it may hold a token.
    """
    if not is_url(value):
        raise ValueError(
            f"{field.name}: it is no plain http or https URL without user, password and fragment, "
            "such as https://dl.k8s.io/v1.30.4/bin/linux/amd64/kubelet"
        )


def check_member(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what can be no member of a tar; an empty text passes.

    Raises:
        ValueError: with the field's name and an example.
    """
    if value and not is_path(f"/{value}"):
        raise ValueError(f"{field.name}: {value!r} is not the plain path of a member such as bin/containerd")


def refusal(problem: Problem) -> tuple[str, str]:
    """Split a Problem with a plan into its reason and a text for people.

    Returns:
        The reason that `what` begins with, as in `PluginMissing: no such driver`; PluginFailed when it
        begins with none. The text ends with the fix.

    >>> refusal(Problem(where="ladder[0]", what="PluginMissing: no action 'x'", fix="known: reboot"))
    ('PluginMissing', "ladder[0]: no action 'x'; known: reboot")
    """
    head, colon, tail = problem.what.partition(": ")
    known = bool(colon) and matches("^[A-Z][A-Za-z]{0,63}$", head)
    text = f"{problem.where}: {tail if known else problem.what}" + (f"; {problem.fix}" if problem.fix else "")
    return (head if known else "PluginFailed"), text[:2048]
