"""Deployments for nodes, as a library. What is named here is public; deep paths are not.

Objects and `model` (their parts) · `decide` and `explain` from a snapshot and a `Policy` · `load` and `dump` ·
`Engine` on a `Store` (`EmbeddedStore`, `KubeStore`) with `Plugins` and a `Sink` · `Record` and `replay`, of what was decided ·
`simulate`, `compare` and `verify` a policy over a `Scenario`, drawn by `strategies` ·
plugins: `hookimpl`, and for their authors `kubenode.providers`, `kubenode.components`, `kubenode.remedies`.

Every name loads when it is first used, so that importing the package costs next to nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubenode.core import parts as model
    from kubenode.core.deciding import decide
    from kubenode.core.decision import Decision
    from kubenode.core.errors import InvalidObjectError, KubenodeError, PluginError
    from kubenode.core.explain import explain
    from kubenode.core.hookspecs import hookimpl
    from kubenode.core.host.snapshot import NodeSnapshot
    from kubenode.core.machine.snapshot import MachineSnapshot
    from kubenode.core.machineset.crew import MachineSetSnapshot
    from kubenode.core.model import (
        Machine,
        MachineComponent,
        MachineComponentSet,
        MachineSet,
        NodeRemedier,
        RemedyOperationJob,
        RiskPolicy,
    )
    from kubenode.core.policy import Policy
    from kubenode.core.remedy.decide import RemedySnapshot
    from kubenode.core.risk.decide import FleetSnapshot
    from kubenode.core.rollout.decide import RolloutSnapshot
    from kubenode.runtime.embed import EmbeddedStore, Engine
    from kubenode.runtime.loading import dump, load
    from kubenode.runtime.plugins import Plugins
    from kubenode.runtime.record import Record, Sink, replay
    from kubenode.runtime.sim import strategies
    from kubenode.runtime.sim.face import Fault, Scenario, compare, simulate, verify
    from kubenode.runtime.store.contract import Store
    from kubenode.runtime.store.kube import KubeStore

__all__ = [
    "Decision",
    "EmbeddedStore",
    "Engine",
    "Fault",
    "FleetSnapshot",
    "InvalidObjectError",
    "KubeStore",
    "KubenodeError",
    "Machine",
    "MachineComponent",
    "MachineComponentSet",
    "MachineSet",
    "MachineSetSnapshot",
    "MachineSnapshot",
    "NodeRemedier",
    "NodeSnapshot",
    "PluginError",
    "Plugins",
    "Policy",
    "Record",
    "RemedyOperationJob",
    "RemedySnapshot",
    "RiskPolicy",
    "RolloutSnapshot",
    "Scenario",
    "Sink",
    "Store",
    "compare",
    "decide",
    "dump",
    "explain",
    "hookimpl",
    "load",
    "model",
    "replay",
    "simulate",
    "strategies",
    "verify",
]

# Hidden from type checkers, which would else believe that every name exists.
if not TYPE_CHECKING:
    _HOMES = {
        "kubenode.core.deciding": "decide",
        "kubenode.core.decision": "Decision",
        "kubenode.core.errors": "InvalidObjectError KubenodeError PluginError",
        "kubenode.core.explain": "explain",
        "kubenode.core.hookspecs": "hookimpl",
        "kubenode.core.model": (
            "Machine MachineComponent MachineComponentSet MachineSet NodeRemedier RemedyOperationJob RiskPolicy"
        ),
        "kubenode.core.policy": "Policy",
        # Each where it is, so that a decider is loaded by who makes a snapshot for it.
        "kubenode.core.host.snapshot": "NodeSnapshot",
        "kubenode.core.machine.snapshot": "MachineSnapshot",
        "kubenode.core.machineset.crew": "MachineSetSnapshot",
        "kubenode.core.remedy.decide": "RemedySnapshot",
        "kubenode.core.risk.decide": "FleetSnapshot",
        "kubenode.core.rollout.decide": "RolloutSnapshot",
        "kubenode.runtime.embed": "EmbeddedStore Engine",
        "kubenode.runtime.loading": "dump load",
        "kubenode.runtime.plugins": "Plugins",
        "kubenode.runtime.record": "Record Sink replay",
        "kubenode.runtime.sim.face": "Fault Scenario compare simulate verify",
        "kubenode.runtime.store.contract": "Store",
        "kubenode.runtime.store.kube": "KubeStore",
    }
    _HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
    _MODULES = {"model": "kubenode.core.parts", "strategies": "kubenode.runtime.sim.strategies"}
    _EXTRAS = {
        "aiohttp": "kube",
        "dateutil": "kube",
        "hypothesis": "notebook",
        "kubernetes": "kube",
        "orjson": "kube",
        "plotly": "notebook",
        "rich": "cli",
        "typer": "cli",
    }

    def __getattr__(name):
        """Load a public name, once."""
        from importlib import import_module

        if name not in _HOME and name not in _MODULES:
            raise AttributeError(_unknown(name))
        try:
            value = (
                import_module(_MODULES[name])
                if name in _MODULES
                else getattr(import_module(_HOME[name]), name)
            )
        except ModuleNotFoundError as error:
            extra = _EXTRAS.get((error.name or "").partition(".")[0])
            if extra is None:
                raise
            text = f"kubenode.{name} needs {error.name}: pip install 'kubenode[{extra}]'"
            raise ImportError(text, name=error.name) from error
        globals()[name] = value
        return value

    def _unknown(name):
        from difflib import get_close_matches

        near = get_close_matches(name, __all__, n=1)
        fix = f"; did you mean {near[0]!r}?" if near else ""
        return f"module 'kubenode' has no attribute {name!r}{fix}"


def __dir__() -> list[str]:
    return sorted(__all__)
