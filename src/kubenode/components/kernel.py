"""Driver `kernel`: settings and modules of the kernel, as they are now and as they are after a boot.

Files for the next boot in `/etc/sysctl.d` and `/etc/modules-load.d`, and beside them the running values and loaded modules.
Absent removes the files. Values and modules stay until the next boot: what else needs them is not known.
"""

from collections.abc import Mapping
from typing import Any

import attrs

from kubenode.components.effect import foreign
from kubenode.core.errors import InvalidObjectError
from kubenode.core.hookspecs import Desired, Have, Seen
from kubenode.core.model.entry import ConfigState, Running
from kubenode.core.model.meta import LABEL, matches
from kubenode.core.naming import is_module, is_sysctl, is_sysctl_value, module_path, sysctl_path
from kubenode.core.probe import Exec, Probe, ReadFile
from kubenode.core.step import RemoveFile, SetKernel, Step

_LIVE = b"live"
_BUILT_IN = "(builtin)"


def _check_file(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    if len(value) > 63 or not matches(f"^{LABEL}$", value):
        raise ValueError(
            f"{field.name}: {value!r} is no name of small letters, digits and '-', such as kubernetes"
        )


def _check_sysctl(_: object, field: "attrs.Attribute[Any]", value: Mapping[str, str]) -> None:
    for key, text in value.items():
        if not is_sysctl(key):
            raise ValueError(f"{field.name}: {key!r} is no setting such as net.ipv4.ip_forward")
        if not is_sysctl_value(text):
            raise ValueError(f"{field.name}: the value of {key} is empty, too long or has more than one line")


def _check_modules(params: "KernelParams", field: "attrs.Attribute[Any]", value: tuple[str, ...]) -> None:
    for module in value:
        if not is_module(module):
            raise ValueError(f"{field.name}: {module!r} is no module such as br_netfilter")
    if not value and not params.sysctl:
        raise ValueError(f"{field.name}: there is neither a setting nor a module")


@attrs.frozen(kw_only=True)
class KernelParams:
    """Which settings and modules.

    Attributes:
        name: of the files: `/etc/sysctl.d/90-NAME.conf` and `/etc/modules-load.d/NAME.conf`.
        sysctl: values by setting, such as `net.ipv4.ip_forward`, or `net/ipv4/conf/eth0.1/rp_filter` where a part has a dot.
        modules: such as `br_netfilter`.

    Raises:
        ValueError: a value cannot be what its field is for.
    """

    name: str = attrs.field(validator=_check_file)
    sysctl: Mapping[str, str] = attrs.field(factory=dict, validator=_check_sysctl)
    modules: tuple[str, ...] = attrs.field(default=(), validator=_check_modules)

    @property
    def step(self) -> SetKernel:
        """Give the one step that does all of it."""
        return SetKernel(name=self.name, modules=self.modules, sysctl=tuple(sorted(self.sysctl.items())))


class KernelDriver:
    """Keep settings and modules of the kernel."""

    name = "kernel"
    params = KernelParams

    def probes(self, want: Desired[KernelParams], /) -> tuple[Probe, ...]:
        """Look at the files, the running values and the loaded modules; modules that are built in are known to modinfo only."""
        params = want.params
        return (
            *map(ReadFile, params.step.files), *(ReadFile(sysctl_path(key)) for key in params.sysctl),
            *(ReadFile(module_path(module)) for module in params.modules), *map(_asked, params.modules),
        )  # fmt: skip

    def judge(self, want: Desired[KernelParams], seen: Seen, /) -> Have:
        """Judge the three states; where none of the files is there, it was never installed."""
        files = want.params.step.files
        there = {path for path in files if path in seen.files}
        if not there:
            return Have(version="", config=ConfigState.UNKNOWN, state=Running.ABSENT)
        if want.state is Running.ABSENT:
            ours = all(seen.files[path] == files[path] for path in there)
            version = want.version if ours else ""
            return Have(version=version, config=ConfigState.UNKNOWN, state=Running.RUNNING)
        same = all(seen.files.get(path) == content for path, content in files.items())
        same = same and all(_has(seen, key, value) for key, value in want.params.sysctl.items())
        same = same and all(_is_loaded(seen, module) for module in want.params.modules)
        return Have(
            version=want.version if same else "",
            config=ConfigState.CURRENT if same else ConfigState.DRIFTED,
            state=Running.STOPPED if want.state is Running.STOPPED else Running.RUNNING,
        )

    def plan(self, want: Desired[KernelParams], have: Have, /) -> tuple[Step, ...]:
        """Give the one step from what is there to what is wanted.

        Raises:
            InvalidObjectError: it should be Absent, and one of its files has a content that was not written.
        """
        if want.state is Running.ABSENT:
            return _removal(want, have)
        return () if have.config is ConfigState.CURRENT else (want.params.step,)


def _asked(module: str) -> Exec:
    return Exec(("modinfo", "--field=filename", "--", module))


def _has(seen: Seen, key: str, value: str) -> bool:
    """Tell whether a setting has a value; the kernel writes its numbers with tabs between."""
    found = seen.files.get(sysctl_path(key))
    return found is not None and found.split() == value.encode().split()


def _is_loaded(seen: Seen, module: str) -> bool:
    if seen.files.get(module_path(module), b"").strip() == _LIVE:
        return True
    answer = seen.answers.get(_asked(module))
    return answer is not None and answer.text.startswith(_BUILT_IN)


def _removal(want: Desired[KernelParams], have: Have) -> tuple[Step, ...]:
    files = want.params.step.files
    if have.state is Running.ABSENT:
        return ()
    if have.version != want.version:
        raise InvalidObjectError((foreign(f"a file of {', '.join(files)}"),))
    return tuple(RemoveFile(path=path, content=content, then=None) for path, content in files.items())
