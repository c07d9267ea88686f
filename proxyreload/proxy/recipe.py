"""How a proxy is run and changed by anybody: from files, arguments, signals and requests, with no code of ours."""

from collections.abc import Callable, Mapping, Sequence

import attrs

from proxyreload.proxy.upstream import Upstream

#: In an argument: the pid of the process that was started before.
PID = "{pid}"
#: The name that clients ask for where the proxy is ours; ``.test`` never resolves anywhere (RFC 6761).
HOSTNAME = "proxyreload.test"
#: The texts of the configuration's files, by their names in the proxy's folder, for ``host:port`` of the front, the
#: seconds of its time-outs and its backends.
#: Where the user's own texts were run in place of the plugin's, these are given besides, by their names.
Configured = Callable[..., Mapping[str, str]]
Texts = Mapping[str, str] | None


@attrs.frozen
class Command:
    """The program is run with these words, in its folder, and ends with status 0 when it has done what they say."""

    words: Sequence[str]


@attrs.frozen
class Ask:
    """An HTTP request to a Unix socket of the proxy's, which is answered with 200 when it is done."""

    socket: str  #: its name in the folder
    method: str
    path: str
    body: str = ""  #: what is sent; or
    file: str = ""  #: the name of the file that is
    fields: Mapping[str, str] = attrs.field(factory=dict)  #: more of the head


def no_steps(_before: Sequence[Upstream], _after: Sequence[Upstream]) -> Sequence[Command | Ask]:
    """Return what is to be done besides, for the backends before and after a change: nothing."""
    return ()


@attrs.frozen
class Recipe:
    """What one mechanism does, as far as it can be written down.

    The program is started in a folder that has its configuration, with ``arguments``, and stays in the foreground. For
    a change the files are put in place, and then one of these is done, or none where the proxy follows its files:

    - it is ended by the signal ``stop`` before, and started anew after that;
    - it is sent the signal ``signal``;
    - another process is started with ``arguments`` and ``successor``, and takes over;
    - ``steps`` are taken, one after another.
    """

    program: str  #: its name on PATH
    version: Sequence[str]  #: makes it tell its version
    arguments: Sequence[str]
    configured: Configured
    stop: str = ""
    signal: str = ""
    successor: Sequence[str] = ()
    steps: Callable[[Sequence[Upstream], Sequence[Upstream]], Sequence[Command | Ask]] = no_steps
