"""Deployments for nodes, as a library.

Import what you need from the packages: `kubenode.core` decides, `kubenode.providers`,
`kubenode.components` and `kubenode.remedies` are what plugins extend, `kubenode.runtime` acts.
"""

from kubenode.core.hookspecs import hookimpl

__all__ = ["hookimpl"]
