"""The options of a run, for the command line and for twistd alike."""

from typing import TYPE_CHECKING

from twisted.python import usage

from proxyreload import errors
from proxyreload.cli.completers import Files, Folders, Mechanisms, Words
from proxyreload.command.jobs import JobOptions
from proxyreload.command.vocabulary import CHANGES, LOGS
from proxyreload.otel.option import ENVIRONMENT
from proxyreload.system.untrusted import without_secrets

if TYPE_CHECKING:
    pass


class _Collectors(Words):
    """The one word that there is; else it is a URL."""

    def __init__(self) -> None:
        super().__init__((ENVIRONMENT,))
        self.value = f"URL|{ENVIRONMENT}"


class RunOptions(JobOptions):
    """proxyreload --plugin NAME[:MECHANISM][@VERSION|@PATH], or proxyreload URL."""

    synopsis = "[options] --plugin NAME[:MECHANISM][@VERSION|@PATH] | URL"
    longdesc = (
        "Changes a reverse proxy's backends under load and shows what that did to every request. With --plugin it "
        "starts the proxy itself; with a URL it watches a proxy that somebody else runs and changes. Exit status: 0 "
        "lossless, 1 something was lost, 2 wrong usage, 3 the run is not valid."
    )

    examples = (
        "proxyreload --plugin nginx --repeat 10 --rate 2000",
        "proxyreload http://localhost:8080/ --no-backends --duration 60",
    )
    optParameters = [  # noqa: RUF012
        ["plugin", "p", None, "The proxy to start, with one of its mechanisms or the recommended one, in any version"],
        ["clients", None, "10", "Clients, with one persistent connection each"],
        ["traffic", None, None, "KIND=CLIENTS, a comma between two; without it with --plugin: all, a few of each"],
        ["rtt", None, None, "How far away the clients of --traffic are: ms there and back"],
        ["rate", None, None, "Requests/s over all clients, due whatever becomes of them; without it: closed loop"],
        ["duration", None, None, "Seconds of traffic, in place of the scenario's"],
        ["backends", None, "4", "How many numbered backends there are"],
        ["first-port", None, "1030", "The port of backend 0; the others follow"],
        ["backend-host", None, "127.0.0.1", "The address that the backends listen on"],
        ["front-port", None, "8080", "The port that the proxy listens on"],
        ["timeout", None, "5", "Seconds for one exchange, its body included"],
        ["scenario", None, None, "A scenario file (TOML), in place of: add 2, remove 0"],
        ["csv", None, "data.csv", "Where every exchange is written"],
        ["losses", None, None, "Where every loss is written, with its fate and its cause; without it: beside --csv"],
        ["run", None, "run.json", "Where the run and its verdict are written"],
        ["report", None, "report.html", "Where the run is shown, in one HTML page"],
        ["junit", None, None, "Where the verdicts are written as JUnit XML, for CI"],
        ["otel", None, None, "Where the run is sent as a trace (OTLP over HTTP): a collector's URL, or environment"],
        ["log", None, "all", "What the terminal shows of the exchanges: all, changes or none"],
        ["repeat", None, None, "Roll through the backends so many times: add one, remove one; in place of a scenario"],
        ["change", None, "backends", "What --repeat repeats: backends, reload, upgrade, rotate or edit"],
        ["pace", None, "0.5", "Seconds with --repeat between a change that is done and the next"],
        ["stop-removed", None, "1", "Let a removed backend leave so many seconds after its removal, or never"],
        ["kill-removed", None, None, "Kill a removed backend so many seconds after its removal was applied"],
        ["wait-old", None, None, "Go on so many seconds for old processes of the proxy; 15, with --duration 0"],
        ["binary", None, None, "The proxy's program, or its version"],
        ["config", None, None, "A configuration of yours, or a folder of it, for the proxy to run from"],
        ["upgrade-to", None, None, "The program or version that an upgrade replaces it by, if not the same one"],
        ["add-command", None, None, "For --plugin external: what adds a backend"],
        ["remove-command", None, None, "For --plugin external: what removes one"],
        ["reload-command", None, None, "For --plugin external: what reloads"],
        ["upgrade-command", None, None, "For --plugin external: what upgrades"],
        ["rotate-command", None, None, "For --plugin external: what puts another certificate in place"],
        ["edit-command", None, None, "For --plugin external: what edits something that no traffic needs"],
        ["ca", None, None, "Certificates (PEM) to trust, for an https URL, in place of the system's"],
        ["seed", None, "0", "For whatever is drawn by chance"],
        ["web", None, None, "Serve the live page at this port or server endpoint, on the loopback unless it says else"],
        ["web-names", None, None, "Names, a comma between two, that the page may be asked for by besides its address"],
        ["token", None, None, "What the page asks for: to change, beyond the loopback to read too; made up there"],
        ["token-file", None, None, "A file that has the token, for a command line can be read by others"],
        ["runs", None, "runs", "With --web, where each run gets a folder with its files"],
    ]  # fmt: skip
    optFlags = [  # noqa: RUF012
        ["no-report", None, "Write no HTML page"],
        ["no-backends", None, "Host no backends: somebody else does"],
        ["backend-processes", None, "Run each backend in a process of its own"],
        ["tls", None, "Let the front speak TLS, by an authority made for the run"],
        ["insecure", None, "Trust any certificate, for an https URL"],
        ["h2c", None, "Speak HTTP/2 without TLS where an http URL is asked over HTTP/2"],
    ]
    compData = usage.Completions(
        optActions={
            "scenario": Files("*.toml"),
            "csv": Files("*.csv"),
            "losses": Files("*.csv"),
            "run": Files("*.json"),
            "runs": Folders(),
            "token-file": Files(),
            "junit": Files("*.xml"),
            "report": Files("*.html"),
            "plugin": Mechanisms(),
            "ca": Files("*.pem"),
            "binary": Files(),
            "upgrade-to": Files(),
            "config": Files(),
            "change": Words(CHANGES),
            "log": Words(LOGS),
            "otel": _Collectors(),
        }
    )

    def parseArgs(self, *urls: str) -> None:
        """Take the URL; raises `UsageError`."""
        if len(urls) > 1:
            msg = f"one URL at most, not {' '.join(without_secrets(url, strict=False) for url in urls)}"
            raise usage.UsageError(msg)
        self["url"] = urls[0] if urls else None

    def postOptions(self) -> None:
        """Make the settings of it all; raises `UsageError`."""
        # Here, for all of it takes time, and whoever asks for help is not to wait.
        from proxyreload.command.asked import asked_for, with_versions, written_and_read
        from proxyreload.command.judged import require_judged
        from proxyreload.system.samefile import require_apart
        from proxyreload.web.place import WebSettings

        try:
            self.web = WebSettings.of(self)
            settings = asked_for(self, self.asked, self.words, fail_on=self.fail_on, annotations=self.annotates)
            require_judged(settings, by_hand=self.web is not None)
            if self.web is None:  # each of the page's runs gets a folder of its own
                require_apart(*written_and_read(self, settings.files))
            self.settings = with_versions(settings)
        except errors.UsageError as error:
            raise usage.UsageError(str(error)) from error
        except errors.FetchError as error:
            if self.parent is None:
                raise
            raise usage.UsageError(str(error)) from error  # twistd knows no other error
