"""What a command writes: claimed from the start, told at the end where that failed."""

from pathlib import Path

import pytest

from proxyreload.command.outputs import claimed
from proxyreload.errors import UsageError
from proxyreload.system.claim import Claim


def test_files_are_claimed_until_the_end(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    with claimed(paths) as outputs:
        for path in paths:
            with pytest.raises(BlockingIOError):
                Claim.of(path, whole=True)
        outputs.write(dict.fromkeys(paths, "text"))
        outputs.require()
    assert [path.read_text() for path in paths] == ["text", "text"]
    for path in paths:
        Claim.of(path).release()


def test_one_that_cannot_be_written_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("before")
    with (
        pytest.raises(UsageError, match="missing/x cannot be written: No such file or directory"),
        claimed([there, tmp_path / "new", tmp_path / "missing" / "x"]),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert there.read_text() == "before"


def test_what_cannot_be_written_at_the_end_is_told_and_the_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, other = tmp_path / "full", tmp_path / "other"
    replace = Claim.replace

    def limited(claim: Claim, text: str) -> None:
        if claim.path == full:
            raise OSError(28, "No space left on device")
        replace(claim, text)

    with claimed([full, other]) as outputs:
        outputs.write({full: "at the start"})
        monkeypatch.setattr(Claim, "replace", limited)
        outputs.write({full: "at the end", other: "at the end"})
        assert outputs.unwritten == [f"{full} cannot be written: No space left on device"]
        with pytest.raises(UsageError, match="No space left on device"):
            outputs.require()
    assert (full.read_text(), other.read_text()) == ("at the start", "at the end")
