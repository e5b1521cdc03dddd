"""How the central controllers are put together: one cache, one inventory, the controllers, one engine."""

from kubenode.core import model as m
from kubenode.core.model.risk import LEDGER
from kubenode.runtime.controller.abandoned import AbandonedController
from kubenode.runtime.controller.accept import AcceptController
from kubenode.runtime.controller.drift import DriftController
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.controller.machine import MachineController
from kubenode.runtime.controller.machineset import MachineSetController
from kubenode.runtime.controller.remedy import RemedyController
from kubenode.runtime.controller.risk import RiskController
from kubenode.runtime.controller.rollout import RolloutController
from kubenode.runtime.engine.loop import Engine, Fault, Recorder, Stirred, raised
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.cache import Cache

FIRST = Stirred(key=Key("risk", LEDGER))
"""What a starting engine is told: the ledger has to be there before anybody asks."""


def controllers(plugins: Plugins, record: Recorder | None = None, fault: Fault = raised) -> Engine:
    """Put the central controllers together; the engine is inert until its driver feeds it."""
    cache = Cache(m.WATCHED)
    inventory = Inventory(cache)
    return Engine(
        cache,
        (
            MachineController(cache, inventory),
            MachineSetController(cache, inventory.crews),
            RolloutController(cache, inventory),
            DriftController(cache, inventory),
            RemedyController(cache, inventory, plugins),
            AbandonedController(cache, inventory),
            AcceptController(cache, plugins),
            RiskController(cache, inventory),
        ),
        policy=inventory.policy, fold=inventory.fold, record=record, fault=fault,
    )  # fmt: skip
