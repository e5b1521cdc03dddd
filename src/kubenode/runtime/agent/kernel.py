"""Settings and modules of the running kernel: `/proc/sys` below the root, and modprobe."""

from typing import Final

from kubenode.core.naming import is_module, is_sysctl, module_path, sysctl_path
from kubenode.core.step import SetKernel
from kubenode.runtime.agent.acts import SetSysctl, UnloadModule
from kubenode.runtime.agent.commands import Runner
from kubenode.runtime.agent.tree import StepFailed, Tree
from kubenode.runtime.agent.units import told

LIMIT: Final = 60.0
"""Seconds that a module has to be loaded."""


class Kernel:
    """The kernel of a host.

    Args:
        tree: its files.
        run: runs modprobe.
    """

    def __init__(self, tree: Tree, run: Runner) -> None:
        self._tree = tree
        self._run = run

    def value(self, key: str) -> str | None:
        """Give the value of a setting; None when the kernel has no such setting. Raises StepFailed."""
        if not is_sysctl(key):
            raise StepFailed(f"{key!r} is no kernel setting such as net.ipv4.ip_forward")
        found = self._tree.read(sysctl_path(key))
        return None if found is None else found.decode(errors="replace").strip()

    def back(self, step: SetKernel) -> tuple[SetSysctl | UnloadModule, ...]:
        """Give the way back of a step. What a module brings that is not loaded yet goes with it. Raises StepFailed."""
        values = ((key, self.value(key)) for key, _ in step.sysctl)
        settings = (SetSysctl(key=key, value=value) for key, value in values if value is not None)
        modules = [module for module in step.modules if not self.is_loaded(module)]
        return (*settings, *(UnloadModule(module=module) for module in reversed(modules)))

    def run(self, step: SetKernel) -> None:
        """Load the modules of a step and give its settings their values. Raises StepFailed."""
        for module in step.modules:
            self.load(module)
        for key, value in step.sysctl:
            self.set(key, value)

    def set(self, key: str, value: str) -> None:
        """Give a setting a value, and see that it has it.

        Raises:
            StepFailed: there is no such setting, or the kernel does not take the value or makes another one of it.
        """
        found = self.value(key)
        if found is None:
            raise StepFailed(
                f"the kernel has no setting {key}; load the module that brings it, or correct the name"
            )
        if found.split() == value.split():
            return
        self._tree.adjust(sysctl_path(key), value.encode() + b"\n")
        found = self.value(key)
        if found is None or found.split() != value.split():
            raise StepFailed(
                f"the kernel has taken another value for {key} than it was given; give it one that it keeps"
            )

    def is_loaded(self, module: str) -> bool:
        """Tell whether a module is loaded; one that is built in is not. Raises StepFailed."""
        if not is_module(module):
            raise StepFailed(f"{module!r} is no module such as br_netfilter")
        return self._tree.read(module_path(module)) is not None

    def load(self, module: str) -> None:
        """Load a module, and those that it needs; built in is loaded. Raises StepFailed."""
        if not self.is_loaded(module):
            self._call("modprobe", module)

    def unload(self, module: str) -> None:
        """Unload a module, and none that it needed; raises StepFailed, as when something uses it by now."""
        if self.is_loaded(module):
            self._call("rmmod", module)

    def _call(self, program: str, module: str) -> None:
        ran = self._run((program, "--", module), LIMIT)
        if not ran.succeeded:
            raise StepFailed(told(f"{program} {module}", ran))
