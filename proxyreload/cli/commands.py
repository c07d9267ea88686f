"""The commands that ``proxyreload`` has besides a run."""

from collections.abc import Callable
from typing import cast

import attrs
from twisted.python.reflect import namedAny

from proxyreload.cli.help import Help
from proxyreload.cli.signals import raise_on_signals


@attrs.frozen
class Command:
    """A command by the names of its code, which is imported when it is wanted."""

    name: str
    summary: str  #: in a few words
    function: str  #: takes the words behind the name, returns the exit status
    options: str

    def run(self, words: list[str]) -> int:
        """Run it; returns the exit status."""
        function = cast(Callable[[list[str]], int], namedAny(f"proxyreload.command.{self.function}"))
        raise_on_signals()  # where a reactor runs, it is told what else they do
        return function(words)

    def declared(self) -> Help:
        """Return its options."""
        return cast(Help, namedAny(f"proxyreload.command.{self.options}")())


COMMANDS = (
    Command("compare", "many mechanisms side by side", "compare.run_comparison", "compare.CompareOptions"),
    Command("bisect", "between which versions a verdict changed", "bisect.bisect", "bisect.BisectOptions"),
    Command("capacity", "how many changes a second it takes", "capacity.measure_capacity", "capacity.CapacityOptions"),
    Command("explain", "why requests were lost, as a story", "explain.explain", "explain.ExplainOptions"),
    Command("report", "the HTML report of a run, or of several", "report.make_report", "report.ReportOptions"),
    Command("publish", "comparisons as a static site", "publish.publish_comparisons", "publish.PublishOptions"),
    Command("badge", "the verdict of a run, as a small picture", "badge.print_badge", "badge.BadgeOptions"),
    Command("reproduce", "one loss, to be seen again by anybody", "reproduce.reproduce", "reproduce.ReproduceOptions"),
    Command(
        "plugins", "every plugin and mechanism, or what is missing", "plugins.list_plugins", "plugins.PluginsOptions"
    ),
    Command("vendors", "whose packages a full comparison needs", "vendors.list_vendors", "vendors.VendorsOptions"),
    Command("versions", "which versions can be had; fetch them", "versions.list_versions", "versions.VersionsOptions"),
    Command("config", "what a proxy is run from, as a template", "config.show", "config.ConfigOptions"),
    Command("adopt", "a configuration of yours made such a template", "adopt.adopt", "adopt.AdoptOptions"),
    Command("kinds", "every kind of traffic, and its keys", "kinds.list_kinds", "kinds.KindsOptions"),
    Command("schema", "the JSON Schema of run.json and the like", "schema.print_schema", "schema.SchemaOptions"),
    Command("backend", "one backend by itself", "backend.serve_backend", "backend.BackendOptions"),
    Command("selftest", "is the instrument to be believed?", "selftest.run_selftest", "selftest.SelfTestOptions"),
    Command("cases", "the famous bugs it knows, expected and found", "cases.list_cases", "cases.CasesOptions"),
    Command("case", "one famous bug, and its cure", "cases.run_case", "cases.CaseOptions"),
    Command("twistd", "a run as a service", "twistd.run_twistd", "twistd.TwistdOptions"),
    Command(
        "completion", "completion for bash, zsh or fish", "completion.print_script", "completion.CompletionOptions"
    ),
    Command("man", "the manual page", "man.print_page", "man.ManOptions"),
)
BY_NAME = {command.name: command for command in COMMANDS}
