"""Numbers and times, as they are said."""

from collections.abc import Iterable, Mapping

_MS, _S = 1000, 1_000_000
#: From so many ms on, tenths say nothing.
_COARSE_MS = 100


def counted(number: int, noun: str) -> str:
    """Return ``1 request`` or ``12,345 requests``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def times(number: int) -> str:
    """Return ``once``, ``twice`` or ``12,345 times``."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def lasted(duration_us: int) -> str:
    """Return how long something took: ``0.3 ms``, ``812 ms``, ``12.3 s``."""
    if abs(duration_us) >= 10 * _S:
        return f"{duration_us / _S:,.1f} s"
    ms = duration_us / _MS
    return f"{ms:,.0f} ms" if abs(ms) >= _COARSE_MS else f"{ms:.1f} ms"


def since(duration_us: int) -> str:
    """Return a time from a zero: ``+0.3371 s``."""
    return f"{duration_us / _S:+,.4f} s"


def shares(counts: Mapping[str, int]) -> str:
    """Return ``194 aimed, 30 get``, the most first."""
    return listed(f"{number:,} {name}" for name, number in sorted(counts.items(), key=lambda item: -item[1]))


def listed(parts: Iterable[str], most: int = 12) -> str:
    """Return parts as a list, so many of them at most."""
    told = list(parts)
    return ", ".join([*told[:most], *([f"and {len(told) - most} more"] if len(told) > most else [])])
