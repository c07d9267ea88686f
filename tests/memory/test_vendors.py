"""Packages of others, named by a file each."""

from pathlib import Path

import pytest

from proxyreload.comparison.vendor import Vendor, vendors
from proxyreload.errors import ExitStatus, UsageError
from proxyreload.proxy import registry as finding

from .exits import status_of
from .plugins import PLUGINS


def write(folder: Path, name: str, **told: str) -> None:
    content = {"package": f"proxyreload-{name}>=1.2,<2", "plugin": name, "url": "https://example.test/it", **told}
    lines = [f"{key} = {value!r}" for key, value in content.items()]
    (folder / f"{name}.toml").write_text("\n".join(lines), encoding="utf-8")


def test_they_are_printed_as_pip_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "zebra", package="zebra-reload")
    write(tmp_path, "ant")
    (tmp_path / "README.md").write_text("no vendor", encoding="utf-8")
    assert vendors(tmp_path)[0] == Vendor("proxyreload-ant>=1.2,<2", "ant", "https://example.test/it")
    assert status_of("vendors", str(tmp_path)) == ExitStatus.LOSSLESS
    assert capfd.readouterr().out == "proxyreload-ant>=1.2,<2\nzebra-reload\n"
    monkeypatch.setattr(finding, "installed", lambda: PLUGINS)
    monkeypatch.setattr("proxyreload.command.vendors.installed", lambda: {"ant": object()})
    assert status_of("vendors", str(tmp_path), "--missing") == ExitStatus.LOSSLESS
    assert capfd.readouterr().out == "zebra-reload\n"


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"package": "--index-url=https://evil.test"}, "package is not a package's name"),
        ({"package": "it @ https://evil.test/it.whl"}, "package is not a package's name"),
        ({"package": "../it"}, "package is not a package's name"),
        ({"package": "it\nother"}, "package is not a package's name"),
        ({"package": "it; python_version>'3'"}, "package is not a package's name"),
        ({"plugin": "An Ant"}, "plugin is not a plugin's name"),
        ({"url": "javascript:alert(1)"}, "url is not the address of a page, https"),
        ({"more": "it"}, "unknown key 'more'; there are: package, plugin, url"),
    ],
)
def test_what_pip_must_not_be_told_is_refused(tmp_path: Path, told: dict[str, str], message: str) -> None:
    write(tmp_path, "ant", **told)
    with pytest.raises(UsageError, match=rf"ant\.toml: {message}"):
        vendors(tmp_path)


def test_two_of_one_plugin_and_no_folder_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "ant")
    write(tmp_path, "bee", plugin="ant")
    with pytest.raises(UsageError, match=r"bee\.toml: plugin ant is that of ant\.toml already"):
        vendors(tmp_path)
    with pytest.raises(UsageError, match="none: No such file"):
        vendors(tmp_path / "none")
    (tmp_path / "bee.toml").write_text("= it", encoding="utf-8")
    with pytest.raises(UsageError, match=r"bee\.toml:1: "):
        vendors(tmp_path)
