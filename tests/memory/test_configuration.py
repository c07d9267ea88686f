"""Configurations: the user's in place of a plugin's own, and what is wrong with one before anything is started."""

from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred

from proxyreload.command.config import show
from proxyreload.comparison.comparison import Comparison
from proxyreload.comparison.contender import contenders, with_file
from proxyreload.errors import UsageError
from proxyreload.plan.scenario import repeated
from proxyreload.plan.settings import Settings, Target
from proxyreload.proxy.configuration import FILES_AT_MOST, Configuration, Mark, plain, read
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin
from proxyreload.proxy.registry import Choice, choose, installed, load
from proxyreload.proxy.upstream import Upstream

from .clocks import result_of
from .plugins import BINARY, FakeProxy

OWN = Configuration.of(
    {"it.cfg": "listen @@front@@\nadmin @@admin@@\n", "more/it.d": "to @@each backend@@@@address@@ @@end@@\n"},
    (Mark("admin", "its socket"),),
    (Mark("admin", "its socket", "admin @@admin@@", r"^admin"), Mark("front", "where", "listen @@front@@", r"^listen")),
    edits=Mark("edited", "an edited route", "route @@edited@@", r"^to"),
)
CHOICE = Choice(ProxyPlugin("it", BINARY, ()), Mechanism("reload", "", cast(Any, FakeProxy), configuration=OWN))


def test_a_file_of_the_users_takes_the_place_of_the_one_of_its_name_or_of_the_main_one() -> None:
    mine = OWN.with_files({"my.cfg": "x @@front@@ @@admin@@"}, "there/my.cfg")
    assert mine.texts == {"it.cfg": "x @@front@@ @@admin@@", "more/it.d": OWN.texts["more/it.d"]}
    assert (mine.main, mine.source, OWN.source) == ("it.cfg", "there/my.cfg", "")
    other = OWN.with_files({"more/it.d": "x", "errors/503.http": "sorry"}, "mine")
    assert other.texts == {"it.cfg": OWN.texts["it.cfg"], "more/it.d": "x", "errors/503.http": "sorry"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("admin @@admin@@\n\nlisten *:80", "my.cfg:3: 'listen *:80' has no marker front, where: listen @@front@@"),
        ("admin @@admin@@\n", "my.cfg: no marker front, where: listen @@front@@"),
        ("listen @@front@@\n", "my.cfg: no marker admin, its socket: admin @@admin@@"),
        ("a\n@@amin@@", "my.cfg:2: unknown marker amin; there are: address, admin, "),
        ("a\n@@front", "my.cfg:2: @@ begins a marker that does not end on its line"),
    ],
)
def test_what_a_mechanism_cannot_do_without_is_told_with_line_and_remedy(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        OWN.with_files({"my.cfg": text}, "my.cfg")
    assert str(raised.value).startswith(complaint)


def test_what_a_change_or_tls_needs_is_asked_for_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "my.cfg"
    path.write_text("@@admin@@ @@front@@\n")
    assert CHOICE.configured(path, ["add", "reload"], tls=False).source == str(path)
    with pytest.raises(
        UsageError, match=r"more/it\.d:1: 'to .*' has no marker edited, an edited route: route @@edited@@"
    ):
        CHOICE.configured(path, ["edit"], tls=False)
    with pytest.raises(
        UsageError, match=r"my\.cfg: nothing in it shows a certificate: put @@certificate@@ and @@key@@"
    ):
        CHOICE.configured(path, [], tls=True)
    path.write_text("@@admin@@ @@front@@ @@if tls@@@@certificate@@@@end@@@@if edit@@@@edited@@@@end@@\n")
    assert CHOICE.configured(path, ["edit"], tls=True).source == str(path)
    OWN.require(["edit"], tls=True)  # a plugin's own has what it needs


def test_a_plugin_that_writes_its_own_takes_none_of_yours(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="control:runtime takes no configuration of yours: its plugin writes its own"):
        choose("control").configured(tmp_path, [], tls=False)
    with pytest.raises(UsageError, match="control:runtime has no configuration that could be another"):
        show(["control"])


def test_a_folder_has_files_by_their_paths_in_it(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "it.cfg").write_text("a")
    (tmp_path / "more" / "it.d").write_text("b")
    assert read(tmp_path) == {"it.cfg": "a", "more/it.d": "b"}
    assert read(tmp_path / "it.cfg") == {"it.cfg": "a"}


def test_what_is_no_configuration_is_told(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none.cfg", "No such file"), (tmp_path, "there is no file in it")):
        with pytest.raises(UsageError, match=words):
            read(path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="binary: not UTF-8"):
        read(tmp_path / "binary")
    (tmp_path / "long").write_text("x" * 300_000)
    with pytest.raises(UsageError, match="long: longer than 262144 characters"):
        read(tmp_path / "long")
    for number in range(FILES_AT_MOST):
        (tmp_path / f"{number:04}").write_text("x")
    with pytest.raises(UsageError, match="more than 100 files"):
        read(tmp_path)


def test_what_a_run_was_made_with_is_recorded_and_filled_in_again() -> None:
    assert OWN.as_run() is None
    mine = OWN.with_files({"it.cfg": "@@front@@ @@admin@@ mine"}, "my.cfg")
    told = cast(Any, mine.as_run())
    assert told["name"] == "my.cfg"
    assert told["files"]["it.cfg"]["text"] == "@@front@@ @@admin@@ mine"
    assert len(told["files"]["it.cfg"]["sha256"]) == 64
    configured = plain(OWN, lambda _upstreams: {"admin": "a.sock"})
    upstreams = [Upstream(3, "127.0.0.1", 1033)]
    texts = {name: each["text"] for name, each in told["files"].items()}
    assert configured("127.0.0.1:80", 60, upstreams, texts) == {
        "it.cfg": "127.0.0.1:80 a.sock mine",
        "more/it.d": "to 127.0.0.1:1033 \n",
    }
    assert configured("127.0.0.1:80", 60, upstreams)["it.cfg"] == "listen 127.0.0.1:80\nadmin a.sock\n"


def own() -> list[Choice]:
    """Return every mechanism that has a configuration."""
    choices = [Choice(plugin, each) for plugin in map(load, installed().values()) for each in plugin.mechanisms]
    return [choice for choice in choices if choice.mechanism.configuration is not None]


@pytest.mark.parametrize("choice", own(), ids=lambda choice: choice.name)
def test_what_is_printed_is_taken_back(choice: Choice, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = choice.mechanism.configuration
    assert made is not None
    if len(made.templates) > 1:
        with pytest.raises(UsageError, match="say --into FOLDER"):
            show([choice.name])
    folder = tmp_path / "mine"
    assert show([choice.name, "--into", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(folder / name) for name in made.templates]
    mine = choice.configured(folder, ["edit"], tls=choice.mechanism.no_tls == "")
    assert mine.texts.keys() == made.texts.keys()
    assert mine.texts[mine.main] == made.explained() + made.texts[made.main]
    with pytest.raises(UsageError, match="there is one already"):
        show([choice.name, "--into", str(folder)])


def test_one_file_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(["haproxy:reload"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("@@# front: where it listens, host:port")
    assert "\n    bind @@front@@" in printed


def test_behind_a_plus_there_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.cfg").write_text("@@admin@@ @@front@@ @@backend@@")
    Path("my+cfg").write_text("")
    assert with_file("haproxy:reload") == ("haproxy:reload", None)
    assert with_file("haproxy:reload+mine.cfg") == ("haproxy:reload", Path("mine.cfg"))
    assert with_file("haproxy:reload@2.6.12-1+deb12u3+mine.cfg") == (
        "haproxy:reload@2.6.12-1+deb12u3",
        Path("mine.cfg"),
    )
    assert with_file("haproxy@2.6.12-1+deb12u3") == ("haproxy@2.6.12-1+deb12u3", None)
    assert with_file("haproxy+my+cfg") == ("haproxy", Path("my+cfg"))
    names = ["haproxy:reload", "haproxy:reload+mine.cfg", "haproxy:reload@/x+mine.cfg"]
    assert [each.name for each in contenders([*names, "haproxy:reload+mine.cfg"])] == names
    with pytest.raises(UsageError, match=r"none\.cfg: No such file"):
        contenders(["haproxy+none.cfg"])
    with pytest.raises(UsageError, match="takes no configuration of yours"):
        contenders(["control+mine.cfg"])


def test_what_lacks_what_is_asked_cannot_be_compared(tmp_path: Path) -> None:
    (tmp_path / "mine.cfg").write_text("@@admin@@ @@front@@ @@backend@@")
    (contender,) = contenders([f"haproxy:reload+{tmp_path}/mine.cfg"])
    settings = Settings(Target.front(8080), repeated("edit", 1, 0.1))
    comparison = Comparison(cast(Any, None), lambda: 0, [contender], settings, tmp_path, 1)
    result_of(Deferred.fromCoroutine(comparison.execute()))
    ((trial,),) = comparison.trials.values()
    assert trial.cannot
    assert "no marker edited, the path of an unrelated route" in trial.why
