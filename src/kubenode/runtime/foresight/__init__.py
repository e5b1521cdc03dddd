"""Foresight: what would happen if some files were applied, by asking the deciders and doing nothing."""

from kubenode.runtime.foresight.plan import foresee
from kubenode.runtime.foresight.values import Foresight

__all__ = ["Foresight", "foresee"]
