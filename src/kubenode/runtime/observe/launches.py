"""What an object asks of a provider: its parameters read by the plugin, one set for each placement, and a digest of each."""

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs
import cattrs

from kubenode.core.capability import SupportsFallback, WithoutTokens
from kubenode.core.decision import CreateInstance, UserData
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.hookspecs import Provider
from kubenode.core.identity import digest
from kubenode.core.instance.intent import user_data
from kubenode.core.model.machine import Infrastructure
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.reading import near
from kubenode.runtime.parameters import structured
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.userdata.boots import Boots

REMEMBERED: Final = 4096
"""Parameters that are read once; then all are read anew."""


@attrs.frozen(kw_only=True)
class Launch:
    """The launch parameters of one placement, as the plugin takes them, and their digest."""

    params: Any = attrs.field(repr=False)
    digest: str


class Launches:
    """Reads parameters; what was read is remembered, since every decision about a machine asks.

    Args:
        plugins: whose providers read them.
        boots: makes user data; None: one whose machines cannot enrol by it.
    """

    def __init__(self, plugins: Plugins, boots: Boots | None = None) -> None:
        self.boots = Boots() if boots is None else boots
        self._plugins = plugins
        self._known: dict[tuple[str, str], tuple[Launch, ...] | Problem] = {}

    def provider(self, name: str) -> Provider[Any] | None:
        """Give a provider by name."""
        return self._plugins.providers.get(name)

    def read(self, provider: str, parameters: Mapping[str, Any]) -> tuple[Launch, ...] | Problem:
        """Give the placements in the order in which they are tried, or why there are none."""
        key = (provider, json.dumps(parameters, sort_keys=True, default=_plain))
        known = self._known.get(key)  # threads that call read here, too
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[key] = self._read(provider, parameters)
        return known

    def _read(self, name: str, parameters: Mapping[str, Any]) -> tuple[Launch, ...] | Problem:
        where = f"spec.infrastructure, provider {name}"
        provider = self.provider(name)
        if provider is None:
            fix = near(name, self._plugins.providers)
            return Problem(
                where=where, what=f"PluginMissing: no plugin brings the provider {name!r}", fix=fix
            )
        try:
            read = structured(parameters, provider.params, "parameters")
            choices = provider.choices(read) if isinstance(provider, SupportsFallback) else (read,)
            return tuple(Launch(params=one, digest=_digest(one)) for one in choices)
        except InvalidObjectError as error:
            said = "; ".join(f"{problem.where}: {problem.what}" for problem in error.problems)
            return Problem(where=where, what=f"ParametersInvalid: {said}")
        except Exception as error:
            return Problem(where=where, what=f"PluginFailed: choices raised {type(error).__name__}: {error}")

    def wanted(self, infrastructure: Infrastructure) -> tuple[str, ...] | Problem:
        """Give the digest of each placement by what a spec says, user data and all, or why nothing can be asked for."""
        boot = user_data(infrastructure, 0)
        return self._digests(self.read(infrastructure.provider, infrastructure.parameters), boot)

    def pinned(
        self, provider: str, parameters: Mapping[str, Any], infrastructure: Infrastructure | None
    ) -> tuple[str, ...]:
        """Give the digest of each placement by the parameters of an intent and the user data of the spec; none where they cannot be read."""
        found = self._digests(self.read(provider, parameters), user_data(infrastructure, 0))
        return () if isinstance(found, Problem) else found

    def launch(self, effect: CreateInstance) -> Any:
        """Give the parameters of an effect as the plugin takes them; None when its token was made of others."""
        found = self.read(effect.provider, effect.parameters)
        digests = self._digests(found, effect.user_data)
        if isinstance(found, Problem) or isinstance(digests, Problem) or effect.choice >= len(found):
            return None
        return found[effect.choice].params if digests[effect.choice] == effect.launch else None

    def _digests(
        self, found: tuple[Launch, ...] | Problem, boot: UserData | None
    ) -> tuple[str, ...] | Problem:
        if isinstance(found, Problem):
            return found
        whole: list[str] = []
        for one in found:
            told = self.boots.digest(one.digest, boot)
            if isinstance(told, Problem):
                return told
            whole.append(told)
        return tuple(whole)

    def blind(self, provider: str) -> int | None:
        """Give how long a provider without tokens may not show what it made, nanoseconds; None of one with tokens."""
        found: object = self.provider(provider)
        return nanoseconds(found.shown_within) if isinstance(found, WithoutTokens) else None


def _digest(params: Any) -> str:
    """Digest all launch parameters, the zone among them; a plugin that reads them otherwise gives another digest."""
    return digest(json.dumps(cattrs.unstructure(params), sort_keys=True, default=str))


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else list(value)
