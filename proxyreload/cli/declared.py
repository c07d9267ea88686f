"""The options that a command declares, read back: what completion and the manual page are made of."""

from inspect import getmro

import attrs
from twisted.python import usage

from proxyreload.cli.completers import Anything


@attrs.frozen
class Option:
    """One option."""

    long: str
    short: str  #: a letter, or empty
    takes_value: bool
    text: str
    default: object
    completer: usage.Completer | None

    @property
    def value(self) -> str:
        """What stands for its value where that is shown."""
        return str(getattr(self.completer, "value", Anything.value))


def options_of(declared: usage.Options) -> list[Option]:
    """Return the options of a command, by name."""
    shorts = {long: short for short, long in declared.synonyms.items() if len(short) == 1}
    completers = {
        name: completer
        for each in reversed(getmro(type(declared)))
        for name, completer in getattr(each, "compData", usage.Completions()).optActions.items()
    }
    found = [
        Option(
            long=name.removesuffix("="),
            short=shorts.get(name.removesuffix("="), ""),
            takes_value=name.endswith("="),
            text=declared.docs[name.removesuffix("=")] or "",
            default=declared.defaults.get(name.removesuffix("=")),
            completer=completers.get(name.removesuffix("=")),
        )
        for name in declared.longOpt
    ]
    return sorted(found, key=lambda option: option.long)


def arguments_of(declared: usage.Options) -> usage.Completer | None:
    """Return what completes a command's arguments."""
    for each in getmro(type(declared)):
        data = getattr(each, "compData", None)
        if data is not None and data.extraActions:
            completer: usage.Completer = data.extraActions[0]
            return completer
    return None
