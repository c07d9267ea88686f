"""What is lost by requests that are sent at the very moment at which connections are being closed."""

from collections.abc import Iterable

import attrs


@attrs.frozen
class Proof:
    """What aimed traffic has lost: told apart, for it is no measure of how often anybody else loses something."""

    exchanges: int
    lost: int
    changes: int
    lossy: int  #: changes in whose window it lost something

    def as_run(self) -> dict[str, object]:
        """Return it as it stands in ``run.json``."""
        return {"exchanges": self.exchanges, "failures": self.lost, "changes": self.changes, "lossy": self.lossy}

    def line(self) -> str:
        """Return it as a sentence."""
        where = f", in {self.lossy} of {self.changes} changes" if self.changes else ""
        return f"for proof, not in these figures: {self.lost} of {self.exchanges} aimed exchanges lost{where}"


def together(proofs: Iterable[Proof | None]) -> Proof | None:
    """Return the sum of some runs'; None if none of them had aimed traffic."""
    told = [proof for proof in proofs if proof is not None]
    if not told:
        return None
    columns = zip(*(attrs.astuple(proof) for proof in told), strict=True)
    return Proof(*(sum(column) for column in columns))
