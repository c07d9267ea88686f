"""How a proxy is run and changed by anybody: from files, arguments and signals, with no code of ours."""

from collections.abc import Callable, Mapping, Sequence

import attrs

from proxyreload.proxy.upstream import Upstream

#: In an argument: the pid of the process that was started before.
PID = "{pid}"
#: The texts of the configuration's files, by their names in the proxy's folder, for ``host:port`` of the front, the
#: seconds of its time-outs and its backends.
Configured = Callable[[str, int, Sequence[Upstream]], Mapping[str, str]]


@attrs.frozen
class Recipe:
    """What one mechanism does, as far as it can be written down.

    The program is started in a folder that has its configuration, with ``arguments``, and stays in the foreground. A
    reload is a signal to that process, or with ``successor`` another process, started with ``arguments`` and these.
    """

    program: str  #: its name on PATH
    version: Sequence[str]  #: makes it tell its version
    arguments: Sequence[str]
    configured: Configured
    signal: str = ""  #: the name of the one that makes it reload
    successor: Sequence[str] = ()
