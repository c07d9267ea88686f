"""What nginx's plugin makes of the program's version."""

from pathlib import Path

import pytest

from proxyreload_nginx import has_early_log


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("nginx version: nginx/1.18.0", False),
        ("nginx version: nginx/1.19.4", False),
        ("nginx version: nginx/1.19.5", True),
        ("nginx version: nginx/1.31.3", True),
        ("another version: 1.2", True),
    ],
)
def test_only_a_later_one_is_told_where_it_logs_early(tmp_path: Path, said: str, *, expected: bool) -> None:
    program = tmp_path / "nginx"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\n", encoding="utf-8")
    program.chmod(0o755)
    assert has_early_log(program) is expected
