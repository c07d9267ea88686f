"""Executes jobs as GitHub and GitLab would: their steps in a shell, with inputs in the environment.

Of GitHub's expressions what our action has: an input, and `always()`. What it uses of others is told, not done.
https://docs.github.com/en/actions/reference/workflows-and-actions/metadata-syntax
https://docs.gitlab.com/ci/inputs/
"""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import yaml

ROOT = Path(__file__).parents[2]
#: Where GitHub's runner has its own files, below the job's folder.
RUNNER = ".runner"
_EXPRESSION = re.compile(r"\$\{\{ *(.*?) *\}\}")
_INTERPOLATION = re.compile(r"\$\[\[ *inputs\.([\w-]+) *\]\]")


@attrs.frozen
class Job:
    """What came of one."""

    status: int  #: of the first step that failed
    said: str
    summary: str
    outputs: Mapping[str, str] = attrs.field(factory=dict)
    uses: tuple[Mapping[str, Any], ...] = ()  #: each with what it was called with


def action() -> dict[str, Any]:
    """Return our action."""
    read: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    return read


def component() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the inputs of our component for GitLab, and its one job."""
    text = (ROOT / "templates" / "proxyreload.yml").read_text(encoding="utf-8")
    head, jobs = yaml.safe_load_all(text)
    (job,) = jobs.values()
    return head["spec"]["inputs"], job


def run_action(folder: Path, environment: Mapping[str, str], /, **given: str) -> Job:
    """Run the steps of our action in a folder, with these inputs (`fail_on` for ``fail-on``)."""
    read = action()
    inputs = _inputs(read["inputs"], given)
    runner = folder / RUNNER
    runner.mkdir(exist_ok=True)
    files = {name: runner / name for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
    for file in files.values():
        file.touch()
    whole = {
        **environment,
        **{name: str(file) for name, file in files.items()},
        "RUNNER_TEMP": str(runner),
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_ACTIONS": "true",
    }
    status, said, uses = 0, "", []
    for step in read["runs"]["steps"]:
        if not _wanted(step.get("if", ""), inputs, failed=status != 0):
            continue
        if "uses" in step:
            uses.append({"uses": step["uses"], **{k: _filled(v, inputs) for k, v in step["with"].items()}})
            continue
        assert step["shell"] == "bash"
        own = {name: _filled(value, inputs) for name, value in step.get("env", {}).items()}
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = _done(words, folder, {**whole, **own})
        status, said = status or done.returncode, said + done.stdout
    lines = files["GITHUB_OUTPUT"].read_text(encoding="utf-8").splitlines()
    outputs = dict(line.split("=", 1) for line in lines)
    return Job(status, said, files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8"), outputs, tuple(uses))


def run_component(folder: Path, environment: Mapping[str, str], /, **given: str) -> Job:
    """Run the script of our component likewise; GitLab expands no variable that says so."""
    declared, job = component()
    inputs = _inputs(declared, given)
    own = {}
    for name, value in job["variables"].items():
        assert value["expand"] is False
        own[name] = _INTERPOLATION.sub(lambda found: inputs[found[1]], value["value"])
    done = _done(["sh", "-e", "-c", "\n".join(job["script"])], folder, {**environment, **own})
    summary = folder / "proxyreload-files" / "summary.md"
    return Job(done.returncode, done.stdout, summary.read_text(encoding="utf-8") if summary.exists() else "")


def _inputs(declared: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in given.items()}
    assert named.keys() <= declared.keys()
    inputs = {name: named.get(name, each.get("default")) for name, each in declared.items()}
    assert None not in inputs.values(), "an input is missing"
    return inputs


def _filled(text: str, inputs: Mapping[str, str]) -> str:
    """Return a text with its expressions evaluated."""
    return _EXPRESSION.sub(lambda found: inputs[found[1].removeprefix("inputs.")], text)


def _wanted(condition: str, inputs: Mapping[str, str], *, failed: bool) -> bool:
    """Whether a step is made: without `always()` only if none before it has failed."""
    parts = [part.strip() for part in _EXPRESSION.sub(r"\1", condition).split("&&") if part.strip()]
    always = "always()" in parts
    asked = [part for part in parts if part != "always()"]
    for part in asked:
        found = re.fullmatch(r"inputs\.([\w-]+) != ''", part)
        assert found is not None, f"an expression that is not known here: {part}"
        if not inputs[found[1]]:
            return False
    return always or not failed


def _done(words: list[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
