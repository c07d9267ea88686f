"""The action for GitHub and the component for GitLab: their steps are executed, as far as that takes neither."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from .command import PROXYRELOAD, Place
from .jobs import RUNNER, Job, action, component, run_action, run_component
from .shims import write_shims

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
#: What makes an environment makes one of what is here: that it can be installed is tested where packages are.
_PYTHON = """#!/bin/sh
test "$1 $2" = "-m venv" || exit 9
mkdir -p "$3/bin"
cp "{pip}" "$3/bin/pip"
printf '#!/bin/sh\\nexec {program} "$@"\\n' >"$3/bin/proxyreload"
chmod +x "$3/bin/proxyreload"
"""


@pytest.fixture(name="environment")
def _environment(place: Place) -> Mapping[str, str]:
    """A machine that has our program, and nothing that is asked of a network."""
    bin_ = place.folder / RUNNER / "bin"
    bin_.parent.mkdir()
    write_shims(bin_, place, ROOT)
    program = " ".join(PROXYRELOAD)
    made = {
        "python": _PYTHON.format(pip=bin_ / "pip", program=program),
        "proxyreload": f'#!/bin/sh\nexec {program} "$@"\n',
    }
    for name, text in made.items():
        (bin_ / name).write_text(text, encoding="utf-8")
        (bin_ / name).chmod(0o755)
    return {**place.environment, "PATH": os.pathsep.join([str(bin_), os.environ["PATH"]])}


def job(place: Place, environment: Mapping[str, str], **inputs: str) -> Job:
    """Run the action with little traffic, a change, and the ports that are free."""
    options = "\n".join([*place.ports, inputs.pop("options", "--log=none")])
    told = {"traffic": "get=4", "repeat": "1", "pace": "0.2", "extras": "", **inputs}
    return run_action(place.folder, environment, python="python", options=options, **told)


def test_one_that_loses_fails_with_its_summary_annotations_and_files(
    place: Place, environment: Mapping[str, str]
) -> None:
    done = job(place, environment, mechanism="nginx:restart", change="reload")
    assert (done.status, done.outputs) == (1, {"status": "1"}), done.said
    assert done.summary.startswith("### nginx:restart: lossy\n\n**lossy**: ")
    assert "| get | lossy | " in done.summary
    assert "--plugin=" not in done.summary  # each option's value is a word of its own
    assert "--traffic get=4" in done.summary
    assert RUNNER not in done.summary
    assert "\n::error title=nginx%3Arestart is lossy::" in done.said
    (upload,) = done.uses
    assert upload["uses"].startswith("actions/upload-artifact@")
    files = place.folder / upload["path"]
    assert {path.name for path in files.iterdir()} == {"data.csv", "losses.csv", "run.json", "junit.xml"}
    assert ET.parse(files / "junit.xml").getroot().get("failures") != "0"
    assert place.left() == []


def test_one_that_loses_nothing_passes_and_draws_its_page(place: Place, environment: Mapping[str, str]) -> None:
    done = job(
        place, environment, mechanism="control", fail_on="racy,kind=get:lossy", extras="report", folder="its files"
    )
    assert (done.status, done.outputs) == (0, {"status": "0"}), done.said
    assert done.summary.startswith("### control:runtime: ")
    assert "\ndecided by --fail-on: passes: racy (" in done.summary
    assert "::error" not in done.said
    assert (place.folder / "its files" / "report.html").exists()
    run = json.loads((place.folder / "its files" / "run.json").read_text(encoding="utf-8"))
    assert run["options"]["fail_on"] == ["racy", "kind=get:lossy"]


def test_what_it_is_asked_to_pass_passes_with_a_warning(place: Place, environment: Mapping[str, str]) -> None:
    words = {"mechanism": "nginx:restart", "change": "reload", "fail_on": "failures-per-change>1000000"}
    done = job(place, environment, **words, artifact="")
    assert (done.status, done.uses) == (0, ()), done.said
    assert "\n::warning title=nginx%3Arestart is lossy::" in done.said


def test_it_compares(place: Place, environment: Mapping[str, str]) -> None:
    done = job(place, environment, compare="control:runtime\nnginx:restart\n", options="--rate\n100")
    assert done.status == 1, done.said
    compared = json.loads((place.folder / "proxyreload-files" / "compare.json").read_text(encoding="utf-8"))
    assert [row["mechanism"] for row in compared["rows"]] == ["control:runtime", "nginx:restart"]
    assert done.summary.startswith("### compare: ")
    assert "\n::error title=nginx%3Arestart%3A lossy::" in done.said


@pytest.mark.parametrize("run", [run_action, run_component], ids=["github", "gitlab"])
def test_no_input_is_part_of_a_script(run: object, place: Place, environment: Mapping[str, str]) -> None:
    hostile = "$(touch stolen)`touch stolen`\"; touch stolen; '\n${HOME}\n*"
    assert callable(run)
    machine = {"python": "python"} if run is run_action else {"source": str(ROOT)}
    for name in ("mechanism", "url", "add_command", "traffic", "fail_on", "options"):
        done = run(place.folder, environment, extras="", **machine, **{name: hostile})
        assert done.status == 2, done.said
    assert not (place.folder / "stolen").exists()


def test_the_component_runs_commands_of_ones_own(place: Place, environment: Mapping[str, str]) -> None:
    command = 'echo "$PROXYRELOAD_ACTION it\'s $PROXYRELOAD_NAME" >>calls; exit 3'
    url = f"http://127.0.0.1:{place.first_port}/"
    done = run_component(
        place.folder,
        environment,
        source=str(ROOT),
        extras="",
        mechanism="external",
        url=url,
        traffic="get=2",
        add_command=command,
        remove_command=command,
        repeat="1",
        pace="0.2",
        options="\n".join(["--log", "none", *place.ports]),
    )
    assert done.status == 3, done.said
    calls = (place.folder / "calls").read_text(encoding="utf-8").splitlines()
    assert calls[0].startswith("add it's ")
    assert done.summary.startswith("### external:command: ineffective\n")
    assert "exited with status 3" in done.summary


@pytest.mark.parametrize(("fail_on", "status"), [("", 1), ("failures-per-change>1000000", 0)])
def test_the_component_fails_on_what_is_asked(
    place: Place, environment: Mapping[str, str], fail_on: str, status: int
) -> None:
    told = {"traffic": "get=4", "change": "reload", "repeat": "1", "pace": "0.2", "extras": "", "fail_on": fail_on}
    options = "\n".join(["--log", "none", *place.ports])
    done = run_component(
        place.folder, environment, source=str(ROOT), mechanism="nginx:restart", options=options, **told
    )
    assert done.status == status, done.said
    assert done.summary.startswith("### nginx:restart: lossy\n")
    assert (place.folder / "proxyreload-files" / "junit.xml").exists()


def test_each_input_is_used_and_none_in_a_script() -> None:
    read = action()
    steps = read["runs"]["steps"]
    assert all("${{" not in step.get("run", "") for step in steps)
    used = json.dumps([step.get("env", {}) for step in steps] + [step.get("with", {}) for step in steps])
    assert {name for name in read["inputs"] if f"inputs.{name} }}}}" not in used} == set()
    assert all(each["description"] for each in read["inputs"].values())
    inputs, job_of_gitlab = component()
    assert not any("$[[" in line for line in job_of_gitlab["script"])
    told = json.dumps(job_of_gitlab)
    assert {name for name in inputs if f"inputs.{name} ]]" not in told} <= {"job"}
