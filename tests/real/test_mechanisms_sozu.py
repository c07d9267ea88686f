"""Every way to change sozu."""

import shutil
import signal
from pathlib import Path

import pytest

from proxyreload.proxy.registry import choose

from .command import TRAFFIC, Exits, Place, Session, scenario
from .mechanisms import assert_ends_during_upgrade, assert_shown, assert_whole
from .proxies import SOZU, binary

pytestmark = [pytest.mark.real, *SOZU.marks]

CHANGES = 20
ROLLING = ("--repeat", str(CHANGES // 2), "--pace", "0.3")
MECHANISMS = ["runtime", "upgrade", "upgrade-workers", "restart"]
#: What a change that was seen in the traffic may have done.
EFFECTIVE = {"seamless", "graceful", "racy", "lossy"}
REPEATED = ("--repeat", "3", "--pace", "0.3")
#: The end of a run that is about what comes before.
FOREVER = "duration = 3600\n"


def test_the_command_socket_is_recommended_and_restarting_comes_last() -> None:
    assert [mechanism.name for mechanism in choose("sozu").plugin.mechanisms] == MECHANISMS


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_both_changes_are_seen_in_the_traffic(place: Place, mechanism: str) -> None:
    result = place.run("--plugin", f"sozu:{mechanism}", "--duration", "4", *place.ports)
    assert_whole(place, result)
    assert [change["error"] for change in result.changes] == [None, None]
    assert {change["verdict"] for change in result.changes} <= EFFECTIVE
    assert_shown(result)
    assert result.run_json["mechanism"] == mechanism


def test_over_the_command_socket_an_added_backend_gets_its_share_and_nobody_is_disturbed(place: Place) -> None:
    result = place.run("--plugin", "sozu:runtime", *ROLLING, *place.ports)
    assert_whole(place, result)
    assert len(result.changes) == CHANGES
    assert result.summary["failures"] == {}
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful"}
    assert (result.status, result.summary["front_changed"]) == (0, 0)
    # The probe connects anew for each request; behind a backend of weight 100 one of weight 0 would hardly be met.
    probe = max(row.client for row in result.rows)
    met = [row.instance for row in result.rows if row.client == probe]
    assert all(met.count(instance) > len(met) / 10 for instance in "0123")


@pytest.mark.parametrize("mechanism", ["runtime", "restart"])
def test_a_reload_brings_no_backend_back_and_takes_none_away(place: Place, mechanism: str) -> None:
    steps = ("add = 2", "remove = 0", "reload = true", "reload = true")
    text = "".join(f"[[step]]\nat = {index + 1}\n{step}\n" for index, step in enumerate(steps))
    path = place.write("reload.toml", f"duration = 6\n{text}")
    result = place.run("--plugin", f"sozu:{mechanism}", "--scenario", path, *place.ports)
    assert_whole(place, result)
    assert [change["error"] for change in result.changes] == [None] * 4
    reload = result.changes[2]
    assert {row.instance for row in result.rows if row.time > reload["applied_us"] and row.instance} == {"1", "2"}
    if mechanism == "runtime":
        assert (result.summary["failure"], result.summary["front_changed"]) == (0, 0)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_it_upgrades_with_nothing_changed(place: Place, mechanism: str) -> None:
    result = place.run("--plugin", f"sozu:{mechanism}", "--change", "upgrade", *REPEATED, *place.ports)
    assert_whole(place, result)
    assert [(each["action"], each["error"]) for each in result.changes] == [("upgrade", None)] * 3
    assert result.summary["front_changed"] > 0, "new workers serve"
    assert {row.instance for row in result.rows if row.status == "200"} == {"0", "1"}


def start_and_upgrade(place: Place, program: str, *words: str) -> Session:
    """Start a run that upgrades sozu to another program, adds a backend, and goes on."""
    text = f"{FOREVER}[[step]]\nat = 0.5\nupgrade = true\n[[step]]\nat = 1\nadd = 2\n"
    path = place.write("upgrade.toml", text)
    return place.start("--plugin", "sozu", "--scenario", path, "--upgrade-to", program, *words, *place.ports)


def test_another_program_takes_over(place: Place) -> None:
    # What is appended to a program does not change it; so it can be told from the one before.
    other = Path(shutil.copy(binary("sozu"), place.folder / "other"))
    with other.open("ab") as file:
        file.write(b"another")
    session = start_and_upgrade(place, str(other))
    session.until("change 1: upgrade .* applied")
    session.until("change 2: add backend 2 .* applied")
    programs = [process.exe() for process in session.descendants() if process.name() != "sh"]
    assert len(programs) == 3, "a main process and two workers"
    assert all(Path(program).read_bytes().endswith(b"another") for program in programs)
    exits = Exits.of(session.descendants())
    session.signal(signal.SIGINT)
    result = session.ended()
    assert_whole(place, result)
    assert [change["error"] for change in result.changes] == [None, None]
    assert exits.left() == []


def assert_refused_and_went_on(place: Place, session: Session, words: str) -> None:
    """Check that sozu would not be upgraded, said why, and took the change that came next."""
    session.until("change 1: upgrade .* failed")
    session.until("change 2: add backend 2 .* applied")
    session.signal(signal.SIGINT)
    result = session.ended()
    assert_whole(place, result)
    upgrade, add = result.changes
    assert words in upgrade["error"]
    assert add["error"] is None
    assert (result.summary["failure"], result.summary["front_changed"]) == (0, 0)
    assert upgrade["verdict"] == "ineffective"
    assert (result.verdict, result.status) == ("invalid", 3)  # ended before its time


def test_a_program_that_is_no_sozu_is_refused_and_the_old_one_goes_on(place: Place) -> None:
    session = start_and_upgrade(place, place.write("other", "#!/bin/sh\nexit 7\n", mode=0o755))
    assert_refused_and_went_on(place, session, "candidate rejected protocol v3 with status exit status: 7")


def test_a_program_that_was_started_by_a_script_cannot_be_replaced_by_another(place: Place) -> None:
    script = place.write("proxy", f'#!/bin/sh\nexec {binary("sozu")} "$@"\n', mode=0o755)
    session = start_and_upgrade(place, str(binary("sozu")), "--binary", script)
    assert_refused_and_went_on(place, session, f"sozu runs from {binary('sozu')}, and that is what it would start")


# Says that it can take over, and dies when it is to.
NO_SUCCESSOR = """\
#!/bin/sh
[ "$1" = upgrade-probe ] || exit 7
"""


def test_a_successor_that_does_not_come_up_is_a_failed_change_and_the_old_process_goes_on(place: Place) -> None:
    session = start_and_upgrade(place, place.write("other", NO_SUCCESSOR, mode=0o755))
    assert_refused_and_went_on(place, session, "Upgrade of main process failed before commit")


def test_what_was_added_for_an_upgrade_that_is_refused_is_removed_again(place: Place) -> None:
    # Backend 2 comes and goes until somebody ends it.
    steps = [(round(0.5 * (index + 1), 1), "remove" if index % 2 else "add", 2) for index in range(1000)]
    path = place.write("long.toml", scenario(steps, 3600))
    session = place.start("--plugin", "sozu:upgrade", "--scenario", path, *place.ports)
    session.until(TRAFFIC)
    (folder,) = place.temp.iterdir()
    program = folder / "sozu"
    away = program.rename(folder / "away")
    refused = session.until(r"change \d+: add backend 2 .* failed: ")
    assert "could not start the main-upgrade protocol probe: No such file" in refused
    session.until(r"change \d+: remove backend 2 .* failed: .* did not bring any change to the state")
    away.rename(program)
    session.until(r"change \d+: add backend 2 .* applied")
    session.signal(signal.SIGINT)
    result = session.ended()
    assert_whole(place, result)
    assert result.verdict == "ineffective"


# Hangs in place of a main process that is to take over.
HANGING_SUCCESSOR = """\
#!/bin/sh
[ "$1" = upgrade-probe ] || exec tail -f /dev/null
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_during_an_upgrade_leaves_no_process(place: Place, number: signal.Signals) -> None:
    session = start_and_upgrade(place, place.write("other", HANGING_SUCCESSOR, mode=0o755))
    assert_ends_during_upgrade(place, session, number)
