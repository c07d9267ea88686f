"""Collections of garbage that stand in nobody's way.

A full one goes through all that there is, which with the libraries takes a tenth of a second: for so long nobody is
served, and that looks like the proxy's doing. What is there when the clients start stays anyway.
"""

import gc


def set_apart() -> None:
    """Collect now, and leave what is left out of all collections until `put_back`."""
    gc.collect()
    gc.freeze()


def put_back() -> None:
    """Let it be collected again."""
    gc.unfreeze()
