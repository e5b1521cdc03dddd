"""What one entry, or the operation, would do if it were alone; core/host/decide chooses among them."""

from collections.abc import Mapping

import attrs

from kubenode.core.decision import NOTHING_SEEN, Note, RunSteps


@attrs.frozen(kw_only=True)
class Turn:
    """One act, or why there is none.

    Attributes:
        run: what it would do now; None when nothing.
        note: why not.
        waits: whether it would do something if it were not another's turn.
        due: `Now.elapsed` from which it would; None when it waits for no time.
        sightings: what has to be remembered for it.
    """

    run: RunSteps | None = None
    note: Note | None = None
    due: int | None = None
    waits: bool = False
    sightings: Mapping[str, int] = NOTHING_SEEN
