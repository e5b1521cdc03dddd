"""The options of reads and deletes, as the embedded store understands them and refuses them."""

from collections.abc import Mapping, Sequence
from typing import Final

from kubenode.core.schema import Cause
from kubenode.runtime.store import refusals
from kubenode.runtime.store.contract import Match, Propagation

ORPHAN: Final = "orphan"
"""The finalizer that the garbage collector removes when it has let the dependents go."""
FOREGROUND: Final = "foregroundDeletion"
"""The finalizer that the garbage collector removes when no dependent blocks any more."""

_NEWEST: Final = -1
_HOLDS: Final[Mapping[Propagation, tuple[str, ...]]] = {
    Propagation.BACKGROUND: (), Propagation.FOREGROUND: (FOREGROUND,), Propagation.ORPHAN: (ORPHAN,),
}  # fmt: skip


def asked(
    resource_version: str, match: Match | None, newest: int, *, limit: int, cursor: str
) -> tuple[int, int]:
    """Give the limit that holds, and the version that exactly is to be listed, or -1 for the newest.

    Raises:
        Refused: the options do not go together, or the version is no number.
        ServerFailed: the version is yet to come.
    """
    texts = []
    if match is not None and not resource_version:
        texts.append("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match is not None and cursor:
        texts.append("resourceVersionMatch is forbidden when continue is provided")
    if match is Match.EXACT and resource_version == "0":
        texts.append('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if texts:
        causes = [
            Cause("FieldValueForbidden", f"Forbidden: {text}", "resourceVersionMatch") for text in texts
        ]
        raise refusals.bad_options("ListOptions", *causes)
    if not (resource_version.isascii() and resource_version.isdigit()):
        fault = f'Invalid value: "{resource_version}": strconv.ParseUint: parsing "{resource_version}": invalid syntax'
        raise refusals.bad_request(f"invalid resource version: resourceVersion: {fault}")
    version = int(resource_version)
    if cursor and version:
        raise refusals.bad_request("specifying resource version is not allowed when using continue")
    if version > newest:
        raise refusals.too_new(version, newest)
    if not version and not cursor:
        return 0, _NEWEST  # what a cache holds is given whole
    # A page of what is "not older" is of just that version, as the next pages have to be.
    is_exact = match is Match.EXACT or (limit and not cursor and match is None)
    return limit, version if is_exact else _NEWEST


def holding(finalizers: Sequence[str], propagation: Propagation | None) -> list[str]:
    """Give the finalizers of an object that is deleted so; None leaves them as they are."""
    if propagation is None:
        return list(finalizers)
    others = [name for name in finalizers if name not in {ORPHAN, FOREGROUND}]
    return [*others, *_HOLDS[propagation]]
