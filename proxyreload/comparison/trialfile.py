"""A trial's figures beside its rows, so that a comparison that was ended can be gone on with."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from cattrs import ClassValidationError
from cattrs.preconf.json import make_converter

import proxyreload
from proxyreload.comparison.cell import Cell
from proxyreload.comparison.trial import Trial
from proxyreload.errors import ProxyreloadError, UsageError
from proxyreload.plan.settings import FileSettings, Settings
from proxyreload.system.boundedfile import read_text
from proxyreload.system.wholefile import write_whole
from proxyreload.verdict.judgement import Verdict

NAME = "trial.json"
_FORMAT = 1
#: With histograms of a few kilobytes each.
_LIMIT = 4 * 1024 * 1024
#: What a run is asked for that makes no difference to what comes of it.
_NO_MATTER = {field.name for field in attrs.fields(FileSettings)} | {"fail_on", "annotations", "log"}


def _converter() -> Any:  # noqa: ANN401
    converter = make_converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(Path, str)
    converter.register_structure_hook(Path, lambda text, _type: Path(text))
    return converter


_CONVERTER = _converter()


def stands_for(cell: Cell, number: int) -> str:
    """Return what tells a trial from any other that was to be something else: a digest of all that it was asked.

    It has the program in it too, as it is now.
    """
    asked = [proxyreload.__version__, cell.name, number, _program(cell), _asked(cell.settings)]
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode("utf-8")).hexdigest()


def keep(trial: Trial, stands: str) -> str:
    """Write a trial beside its rows; return why it cannot be, empty if it is."""
    path = trial.run_file.with_name(NAME)
    content = {"format": _FORMAT, "of": stands, "trial": _CONVERTER.unstructure(trial)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(content) + "\n")
    except OSError as error:
        return f"{path} cannot be written: {error.strerror}"
    return ""


def kept(run_file: Path, stands: str = "") -> Trial | None:
    """Return the trial that was kept beside this run file; None if there is none, or it stands for something else.

    One whose run came to nothing, or was spoilt, is none: it is run again.
    """
    with suppress(UsageError, ValueError, KeyError, TypeError, AttributeError, ClassValidationError):
        content = json.loads(read_text(run_file.with_name(NAME), _LIMIT))
        if content["format"] != _FORMAT or (stands and content["of"] != stands):
            return None
        trial: Trial = attrs.evolve(_CONVERTER.structure(content["trial"], Trial), run_file=run_file)
        came_to = trial.judgement is not None and trial.judgement.verdict is not Verdict.INVALID
        return trial if came_to or trial.cannot else None
    return None


def _asked(settings: Settings) -> dict[str, object]:
    asked = settings.as_run()
    options = asked["options"]
    assert isinstance(options, dict)  # noqa: S101
    return {**asked, "command": None, "options": {name: options[name] for name in options.keys() - _NO_MATTER}}


def _program(cell: Cell) -> list[object]:
    """Return which program it runs, and when that was last changed; nothing where there is none."""
    binary = cell.contender.choice.plugin.binary
    try:
        path = None if binary is None else Path(binary.find(cell.contender.fetched or cell.contender.binary))
        return [] if path is None else [str(path), path.stat().st_mtime_ns]
    except (ProxyreloadError, OSError):
        return []
