"""The command line: what it makes of words, and how it names what is wrong."""

from pathlib import Path

import pytest
from twisted.python.usage import UsageError

import proxyreload
from proxyreload.command import main as main_module
from proxyreload.command.backend import BackendOptions
from proxyreload.command.options import RunOptions
from proxyreload.errors import ChangeError, ProxyreloadError, StartError
from proxyreload.errors import UsageError as WrongUsage
from proxyreload.plan.settings import WAIT_OLD_S, BackendSettings, FileSettings, Settings, TlsSettings
from proxyreload.proxy import registry as finding
from proxyreload.system.untrusted import printable

from .exits import status_of
from .plugins import PLUGINS

URL = "http://example.test:8080/"


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "entry_points", lambda group: PLUGINS)


def settings(*words: str) -> Settings:
    """Return the settings that these words make."""
    options = RunOptions()
    options.parseOptions(words)
    made: Settings = options.settings
    return made


def wrong(*words: str) -> str:
    """Return the error of words that are wrong."""
    with pytest.raises(UsageError) as raised:
        settings(*words)
    return str(raised.value)


def test_the_defaults_are_what_scripts_rely_on() -> None:
    made = settings("--plugin", "fake")
    assert (made.load.clients, made.load.rate_per_s) == (10, None)
    assert (made.backends.number, made.backends.first_port) == (4, 1030)
    assert (made.target.port, made.log) == (8080, "all")
    assert made.files == FileSettings(Path("data.csv"), Path("run.json"), None, Path("report.html"))
    assert made.files.losses == Path("losses.csv")
    assert (made.backends.hosted, made.load.seed, made.load.timeout_s, made.binary) == (True, 0, 5.0, None)
    assert (made.backends.processes, made.backends.kill_removed_s, made.upgrade_to) == (False, None, None)
    assert made.tls == TlsSettings(None, insecure=False)
    assert made.scenario.title == "add backend 2, then remove backend 0"


@pytest.mark.parametrize(
    ("words", "losses"),
    [
        (["--csv", "mine.csv"], "mine-losses.csv"),
        (["--csv", "there/rows"], "there/rows-losses.csv"),
        (["--csv", "n" * 300], "n" * 300 + "-losses.csv"),  # which is told when it is to be written
        (["--csv", "/dev/null"], "/dev/null"),
        (["--csv", "."], "losses.csv"),
        (["--csv", "mine.csv", "--losses", "lost.csv"], "lost.csv"),
    ],
)
def test_losses_are_written_beside_the_rows(words: list[str], losses: str) -> None:
    assert settings("--plugin", "fake", *words).files.losses == Path(losses)


def test_every_option_finds_its_setting(tmp_path: Path) -> None:
    scenario = tmp_path / "my.toml"
    scenario.write_text("backends = [0]")
    made = settings(
        *("--plugin", "fake:slow", "--clients", "3", "--rate", "12.5", "--duration", "30", "--backends", "5"),
        *("--first-port", "2000", "--front-port", "9000", "--timeout", "2.5", "--csv", "a.csv", "--run", "b.json"),
        *("--log", "none", "--binary", "/bin/x", "--seed", "7", "--scenario", str(scenario)),
        *(
            "--backend-host",
            "127.0.0.2",
            "--backend-processes",
            "--kill-removed",
            "1.5",
            "--stop-removed",
            "2.5",
            "--upgrade-to",
            "/bin/y",
        ),
        *("--junit", "c.xml", "--report", "d.html", "--ca", "e.pem", "--insecure", "--losses", "f.csv"),
    )
    assert made.choice is not None
    assert made.choice.name == "fake:slow"
    assert (made.load.clients, made.load.rate_per_s, made.load.timeout_s, made.load.seed) == (3, 12.5, 2.5, 7)
    assert made.backends == BackendSettings(5, True, "127.0.0.2", 2000, True, 2.5, 1.5)  # noqa: FBT003
    assert (made.scenario.duration_s, made.scenario.initial, made.target.port) == (30.0, (0,), 9000)
    assert made.files == FileSettings(
        *(Path("a.csv"), Path("b.json"), Path("c.xml"), Path("d.html")), report_required=True, losses=Path("f.csv")
    )
    assert made.tls == TlsSettings(Path("e.pem"), insecure=True)
    assert (made.log, made.binary, made.upgrade_to) == ("none", "/bin/x", "/bin/y")


def test_the_front_may_speak_tls(tmp_path: Path) -> None:
    made = settings("--plugin", "fake", "--tls", "--repeat", "2", "--change", "rotate")
    assert (made.tls, made.target.url) == (TlsSettings(front=True), "https://proxyreload.test:8080/")
    assert made.scenario.actions == {"rotate"}
    assert not settings("--plugin", "fake").target.tls
    scenario = tmp_path / "my.toml"
    scenario.write_text("[[step]]\nat = 1\nrotate = true")
    assert settings("--plugin", "fake", "--tls", "--scenario", str(scenario)).scenario.actions == {"rotate"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("https://x/", "--tls"), "--tls is for a proxy that is started here: of one that somebody else runs the URL"),
        (("--plugin", "fake", "--tls", "--insecure"), "--tls has an authority of its own: --ca and --insecure are for"),
        (("--plugin", "fake", "--tls", "--ca", "x.pem"), "--tls has an authority of its own: --ca and --insecure are"),
        (
            ("--plugin", "fake", "--repeat", "2", "--change", "rotate"),
            "rotate changes the certificate, and the clients speak in the clear, and are shown no certificate: say --",
        ),
    ],
)
def test_tls_is_asked_for_where_it_can_be_had(words: tuple[str, ...], message: str) -> None:
    assert wrong(*words).startswith(message)


def test_backends_may_be_somebody_elses() -> None:
    assert not settings(URL, "--no-backends").backends.hosted


def test_what_somebody_else_hosts_is_not_killed() -> None:
    assert wrong("--plugin", "fake", "--no-backends", "--kill-removed", "1").startswith("--kill-removed kills backends")


def test_nor_does_it_leave() -> None:
    somebody_elses = ("--plugin", "fake", "--no-backends")
    assert wrong(*somebody_elses, "--stop-removed", "2").startswith("--stop-removed lets backends leave")
    for words in (somebody_elses, (*somebody_elses, "--stop-removed", "never")):
        assert settings(*words).backends.stop_removed_s is None


def test_a_plugin_alone_means_its_recommended_mechanism() -> None:
    choice = settings("--plugin", "fake").choice
    assert choice is not None
    assert choice.name == "fake:quick"


def test_a_url_means_a_proxy_that_somebody_else_runs() -> None:
    made = settings(URL)
    assert (made.choice, made.target.url, made.scenario.steps) == (None, URL, ())
    assert made.scenario.duration_s == float("inf")


def test_options_may_stand_behind_the_url() -> None:
    assert settings(URL, "--duration", "5", "--clients=2").scenario.duration_s == 5.0


def test_a_watched_proxy_may_have_one_backend_only() -> None:
    made = settings(URL, "--backends", "1")
    assert all(instance < made.backends.number for instance in made.scenario.initial)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--clients", ("0", "-1", "x", "1.5", "", "10001", "1e3")),
        ("--backends", ("0", "x", "1001")),
        ("--first-port", ("0", "x", "65536", "65533")),
        ("--front-port", ("0", "65536", "http")),
        ("--seed", ("-1", "x", "9223372036854775808")),
        ("--rate", ("0", "-1", "x", "inf", "nan", "")),
        ("--duration", ("0", "-1", "x", "inf", "nan")),
        ("--timeout", ("0", "-1", "x", "inf", "nan")),
        ("--log", ("ALL", "some", "")),
    ],
)
def test_a_wrong_value_is_told_with_its_option(option: str, values: tuple[str, ...]) -> None:
    for value in values:
        message = wrong(URL, f"{option}={value}")
        assert message.startswith(f"{option} takes "), message
        assert message.endswith(f"not {value!r}"), message


def test_the_highest_ports_can_be_used() -> None:
    assert settings(URL, "--first-port", "65532", "--backends", "4").backends.first_port == 65532


@pytest.mark.parametrize("words", [(), ("--clients", "3"), ("--plugin", "fake", URL)])
def test_either_a_plugin_or_a_url_is_needed(words: tuple[str, ...]) -> None:
    assert wrong(*words).startswith("give either --plugin NAME or the URL")


def test_two_urls_are_one_too_many() -> None:
    assert URL in wrong(URL, URL)


def test_what_is_no_url_is_told_so() -> None:
    assert wrong("example.test") == "'example.test' is not a URL like http://host:port/path"


def test_an_unknown_option_is_named() -> None:
    assert "--bogus" in wrong("--bogus", URL)


def test_an_option_without_its_value_is_named() -> None:
    assert "--clients" in wrong(URL, "--clients")


def test_an_unknown_plugin_is_told_with_those_there_are() -> None:
    assert wrong("--plugin", "bogus") == "no plugin 'bogus'; there are: broken, fake, incomplete"


def test_an_unknown_mechanism_is_told_with_those_there_are() -> None:
    assert wrong("--plugin", "fake:bogus") == "plugin fake has no mechanism 'bogus'; there are: quick, slow"


def test_a_front_among_the_backends_is_told_with_its_option() -> None:
    message = wrong("--plugin", "fake", "--front-port", "1032")
    assert message == "--front-port 1032 is one of the backends' ports, 1030 to 1033"


@pytest.mark.parametrize("front", ["1029", "1034"])
def test_a_front_beside_the_backends_is_fine(front: str) -> None:
    assert settings("--plugin", "fake", "--front-port", front).target.port == int(front)


def test_steps_for_a_proxy_of_somebody_elses_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[[step]]\nadd = 2\n")
    assert (
        wrong(URL, "--scenario", str(path)) == f"{path}: steps need --plugin: whoever runs the proxy makes the changes"
    )
    assert wrong(URL, "--repeat", "3").startswith("--repeat needs --plugin")


def test_its_traffic_goes_to_a_proxy_of_somebody_elses_too(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("duration = 9\n[[traffic]]\nkind = 'idle'\nclients = 3\ngap = [2, 4]\nrtt = 20\n")
    made = settings(URL, "--scenario", str(path), "--traffic", "get=4,post=2")
    assert (made.load.clients, made.scenario.duration_s) == (4, 9.0)
    told = [(group.kind.name, group.clients, dict(group.values), group.rtt_s) for group in made.load.groups]
    post = {"size": 1000, "gap": (0.0, 0.0), "delay": 0.0}
    assert told == [("post", 2, post, 0.0), ("idle", 3, {"gap": (2, 4)}, 0.02)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--traffic", "idel=3"), "no kind 'idel'; there are: aimed, download, "),
        (("--traffic", "idle"), "--traffic takes KIND=CLIENTS, a comma between two, or all, not 'idle'"),
        (("--traffic", "idle=0"), "--traffic idle takes a whole number from 1 to 10000, not '0'"),
        (("--traffic", "post=1", "--no-backends"), "traffic post needs backends of ours"),
        (("--rtt", "20"), "--rtt is the distance of the clients of --traffic"),
        (("--rtt", "-1", "--traffic", "get=1"), "--rtt takes a number from 0 to 10000 ms, not '-1'"),
    ],
)
def test_traffic_that_cannot_be_is_refused(words: tuple[str, ...], said: str) -> None:
    assert wrong(URL, *words).startswith(said)


def test_far_clients_are_a_group_of_their_own() -> None:
    made = settings(URL, "--traffic", "get=5", "--rtt", "50")
    assert (made.load.clients, [(group.clients, group.rtt_s) for group in made.load.groups]) == (10, [(5, 0.05)])


def test_a_removed_backend_leaves_after_a_second_unless_it_is_to_stay() -> None:
    assert settings("--plugin", "fake").backends.stop_removed_s == 1.0
    assert settings("--plugin", "fake", "--stop-removed", "0").backends.stop_removed_s == 0.0
    assert settings("--plugin", "fake", "--stop-removed", "never").backends.stop_removed_s is None
    assert settings(URL).backends.stop_removed_s is None
    assert wrong("--plugin", "fake", "--stop-removed", "soon").endswith("not 'soon'; or never")


def test_a_run_goes_on_for_old_processes_unless_its_duration_is_given() -> None:
    assert settings("--plugin", "fake").wait_old_s == WAIT_OLD_S
    assert settings("--plugin", "fake", "--duration", "5").wait_old_s == 0.0
    assert settings("--plugin", "fake", "--duration", "5", "--wait-old", "3").wait_old_s == 3.0
    assert wrong("--plugin", "fake", "--wait-old", "long").startswith(
        "--wait-old takes a number from 0 to 86400 seconds"
    )


def test_a_scenario_with_more_backends_than_there_are_is_refused() -> None:
    assert wrong("--plugin", "fake", "--backends", "2") == ("the scenario names backend 2, but --backends 2 are 0 to 1")


def test_a_scenario_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    assert wrong("--plugin", "fake", "--scenario", str(path)) == f"{path}: No such file or directory"


# Files.


@pytest.fixture
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_folder")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--csv", "x", "--run", "x"], "--run x is the same file as --csv x"),
        (["--csv", "x", "--report", "./x"], "--report x is the same file as --csv x"),
        (["--junit", "data.csv"], "--junit data.csv is the same file as --csv data.csv"),
        (["--losses", "data.csv"], "--losses data.csv is the same file as --csv data.csv"),
        (["--ca", "losses.csv"], "--losses losses.csv is the same file as --ca"),
        (["--report", "run.json"], "--report run.json is the same file as --run run.json"),
        (["--ca", "there", "--csv", "there"], "--csv there is the same file as --ca"),
        (["--ca", "there", "--run", "link"], "--run link is the same file as --ca"),
    ],
)
def test_a_file_is_written_by_one_option_alone_and_not_read_besides(words: list[str], message: str) -> None:
    Path("there").touch()
    Path("link").symlink_to("there")
    assert wrong(URL, *words) == message
    assert sorted(path.name for path in Path().iterdir()) == ["link", "there"]


@pytest.mark.usefixtures("_folder")
def test_a_scenario_or_a_program_is_not_written_over() -> None:
    Path("my.toml").write_text("backends = [0]")
    Path("program").touch(mode=0o755)
    plugin = ("--plugin", "fake", "--binary", "./program", "--scenario", "my.toml")
    assert wrong(*plugin, "--csv", "my.toml") == "--csv my.toml is the same file as --scenario"
    assert wrong(*plugin, "--report", "program") == "--report program is the same file as --binary"


@pytest.mark.usefixtures("_folder")
def test_a_report_that_is_not_made_is_in_nobodys_way() -> None:
    assert settings(URL, "--csv", "report.html", "--no-report").files.report is None


@pytest.mark.usefixtures("_folder")
def test_with_the_page_each_run_has_files_of_its_own() -> None:
    assert settings(URL, "--web", "8081", "--ca", "data.csv").tls.ca == Path("data.csv")


def test_a_report_is_required_if_it_was_asked_for() -> None:
    assert not settings(URL).files.report_required
    assert settings(URL, "--report", "report.html").files.report_required


@pytest.mark.parametrize(
    "option", ["--csv", "--losses", "--run", "--report", "--junit", "--ca", "--scenario", "--binary", "--runs"]
)
@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[2J", "a\x9bb", "a\u2028b", "a\tb"])
def test_a_files_name_that_no_line_can_show_is_refused(option: str, name: str) -> None:
    assert (
        wrong(URL, option, name) == f"{option} takes a file's name without control characters, not '{printable(name)}'"
    )


def test_other_names_are_fine() -> None:
    assert settings(URL, "--csv", "é 漢 \u200d").files.csv == Path("é 漢 \u200d")


@pytest.mark.parametrize("words", [("--csv", "a\udcff"), ("--add-command", "\udcff"), ("\udcff",), ("--log=\udcff",)])
def test_what_is_no_text_is_refused_wherever_it_stands(words: tuple[str, ...]) -> None:
    message = wrong(URL, *words)
    assert message.startswith("not UTF-8: ")
    assert "\\udcff" in message


def test_a_password_stands_nowhere_in_what_is_written_down() -> None:
    made = settings("http://user:secret@example.test:8080/", "--duration", "1")
    assert made.command == ("--duration", "1", "http://…@example.test:8080/")
    assert "secret" not in str(made.as_run())
    assert "secret" not in wrong("http://user:secret@a.test/", "http://user:secret@b.test/")


# One backend by itself.


def test_a_backend_has_a_number_and_a_port() -> None:
    options = BackendOptions()
    options.parseOptions(["7", "1037", "--host", "127.0.0.2"])
    assert (options["instance"], options["port"], options["host"]) == (7, 1037, "127.0.0.2")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("x", "1030"), "ID takes"),
        (("-1", "1030"), "-1"),
        (("0", "0"), "PORT takes"),
        (("0", "65536"), "PORT takes"),
        ((), "ID and PORT"),
        (("0",), "ID and PORT"),
        (("0", "1030", "1"), "ID and PORT"),
    ],
)
def test_a_backend_that_cannot_be_is_told_by_what_is_wrong(words: tuple[str, ...], named: str) -> None:
    with pytest.raises((UsageError, WrongUsage)) as raised:
        BackendOptions().parseOptions(list(words))
    assert named in str(raised.value)


# Exit statuses.


def test_wrong_usage_exits_with_2_and_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert status_of("--clients", "0", URL) == 2
    said = capfd.readouterr()
    assert said.err == "proxyreload: --clients takes a whole number from 1 to 10000, not '0'\n"
    assert said.out == ""


def test_wrong_usage_of_a_subcommand_exits_with_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert status_of("backend", "x", "1030") == 2
    assert capfd.readouterr().err.startswith("proxyreload: ID takes a whole number")


def test_the_version_exits_with_0(capfd: pytest.CaptureFixture[str]) -> None:
    assert status_of("--version") == 0
    assert capfd.readouterr().out == f"proxyreload {proxyreload.__version__}\n"


def test_help_exits_with_0_and_names_every_option(capfd: pytest.CaptureFixture[str]) -> None:
    assert status_of("--help") == 0
    said = capfd.readouterr().out
    for option in ("plugin", "clients", "rate", "duration", "backends", "first-port", "front-port", "no-backends"):
        assert f"--{option}" in said


@pytest.mark.parametrize(
    ("error", "status"),
    [(StartError("port 1030 is in use"), 3), (ChangeError("refused"), 3), (WrongUsage("not like that"), 2)],
)
def test_what_ends_a_run_exits_with_its_own_status(
    error: ProxyreloadError, status: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(_words: list[str]) -> int:
        raise error

    monkeypatch.setattr(main_module, "_run", run)
    assert status_of(URL) == status
    assert capfd.readouterr().err == f"proxyreload: {error}\n"


@pytest.mark.parametrize("status", [0, 1, 3])
def test_the_runs_own_status_is_the_commands(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "_run", lambda _words: status)
    assert status_of(URL) == status


def test_a_long_error_is_bounded_and_printable(capfd: pytest.CaptureFixture[str]) -> None:
    assert status_of("--duration", "\x1b[31m" + "9" * 5000, URL) == 2
    said = capfd.readouterr().err
    assert said.startswith("proxyreload: --duration takes ")
    assert said.count("\n") == 1
    assert len(said) < 1100
    assert "\x1b" not in said
