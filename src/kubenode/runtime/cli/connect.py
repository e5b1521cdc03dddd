"""The way to a real cluster from the command line; the extra it needs is loaded only here."""

from pathlib import Path
from typing import TYPE_CHECKING

from kubenode.core.errors import KubenodeError

if TYPE_CHECKING:
    from kubenode.runtime.store.kube import KubeStore


class ExtraMissing(KubenodeError):
    """A command needs packages that were not installed with kubenode."""


def connect(
    kubeconfig: Path | None, context: str | None = None, *, field_manager: str = "kubenode"
) -> "KubeStore":
    """Give a store of a real cluster, inert until entered.

    Raises:
        ExtraMissing: the extra `kube` is not installed.
    """
    try:
        from kubenode.runtime.store.kube import KubeStore
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"this needs {error.name}: pip install 'kubenode[kube]'") from None
    return KubeStore.connect(kubeconfig=kubeconfig, context=context, field_manager=field_manager)
