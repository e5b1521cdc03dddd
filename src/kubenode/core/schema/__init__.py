"""Structural schemas: pruning, defaults and validation, in the API server's order and words.

Pure functions over JSON. They never change what they are given; results share what is unchanged with it.
Where the server is surprising, so are they: texts and surprises were taken from kube-apiserver 1.36.
CEL rules are not evaluated here, only listed; what else is not known of a schema, `check_supported` says.

`known` is an earlier state that passed already. What is the very same object there is not looked at again,
which makes a small change cheap and gives the server's ratcheting: unchanged values are not reported anew.
"""

from kubenode.core.schema.faults import BLOCKING, NOWHERE, Cause, validate
from kubenode.core.schema.tidy import defaulted, prune
from kubenode.core.schema.walk import check_supported, rules_in

__all__ = ["BLOCKING", "NOWHERE", "Cause", "check_supported", "defaulted", "prune", "rules_in", "validate"]
