"""What Traefik is run from: what a user's must have, and in which of the files."""

import json

import pytest
import yaml

from proxyreload.errors import UsageError
from proxyreload.proxy.configuration import Configuration, values
from proxyreload.proxy.registry import choose
from proxyreload.proxy.upstream import Upstream
from proxyreload_traefik_config import ADMIN_FILE, CERTIFICATES_FILE, CONFIG_FILE, SENT, WATCHED, as_json

MARKS = {"admin": "127.0.0.1:0", "files": "/f/dynamic", "token": "secret", "endpoint": "http://127.0.0.1:1/x"}
PROVIDED = {"file": WATCHED, "file-in-place": WATCHED, "rest": SENT, "http": SENT, "restart": WATCHED}


def own(mechanism: str) -> Configuration:
    made = choose(f"traefik:{mechanism}").mechanism.configuration
    assert made is not None
    return made


@pytest.mark.parametrize(("mechanism", "provided"), PROVIDED.items())
@pytest.mark.parametrize("number", [0, 1, 2])
def test_whatever_the_number_of_backends_what_is_provided_is_json(mechanism: str, provided: str, number: int) -> None:
    upstreams = [Upstream(each, "127.0.0.1", 1030 + each) for each in range(number)]
    common = values("127.0.0.1:80", 60, upstreams, hostname="x", whole_timeout_s=60, root=False)
    texts = own(mechanism).filled({**common, **MARKS})
    static = yaml.safe_load(texts.pop(CONFIG_FILE))
    assert static["entryPoints"]["web"]["address"] == "127.0.0.1:80"
    assert "http" not in static["entryPoints"]["web"]
    services = as_json(texts[provided], provided)["http"]["services"]
    for name, scheme in (("app", "http"), ("calls", "h2c")):
        servers = [each["url"] for each in services[name]["loadBalancer"]["servers"]]
        assert servers == [f"{scheme}://{each.address}" for each in upstreams]
    assert json.loads(texts[CERTIFICATES_FILE]) == {}
    routers = json.loads(texts[ADMIN_FILE])["http"]["routers"]
    assert set(routers) == ({"api", "rest"} if mechanism == "rest" else {"api"})
    assert all("`secret`" in each["rule"] and each["entryPoints"] == ["admin"] for each in routers.values())


@pytest.mark.parametrize(
    ("mechanism", "file", "right", "wrong", "complaint"),
    [
        ("file", CONFIG_FILE, "@@front@@", ":80", r"mine:5: 'address: \":80\"' has no marker front, where it listens"),
        ("file", CONFIG_FILE, "@@admin@@", ":81", "mine:3: 'entryPoints:' has no marker admin, where it listens for"),
        ("file", CONFIG_FILE, "@@files@@", "/etc", "'providers:' has no marker files, the folder that"),
        ("http", CONFIG_FILE, "@@endpoint@@", "/etc", "has no marker endpoint, where it asks for what is provided"),
        ("file", CONFIG_FILE, "\napi:", "\n#", r"mine: traefik\.yml has no api: {}, without which nothing can be"),
        ("rest", CONFIG_FILE, "rest:", "# rest:", r"mine: traefik\.yml has no rest: {}, without which nothing can be"),
        ("file", ADMIN_FILE, "@@token@@", "x", "has no marker token, what a request says in a header"),
    ],
)
def test_what_is_missing_is_told_with_its_line(
    mechanism: str, file: str, right: str, wrong: str, complaint: str
) -> None:
    made = own(mechanism)
    text = made.texts[file].replace(right, wrong)
    with pytest.raises(UsageError, match=complaint):
        made.with_files({file: text}, "mine")


def test_one_file_of_the_users_is_what_is_provided_unless_it_is_called_as_another_is() -> None:
    for mechanism, provided in PROVIDED.items():
        made = own(mechanism)
        text = made.texts[provided].replace('"app"', '"site"')
        assert made.with_files({"mine.yml": text}, "mine.yml").texts[provided] == text
        static = made.texts[CONFIG_FILE].replace("INFO", "DEBUG")
        assert made.with_files({CONFIG_FILE: static}, CONFIG_FILE).texts[CONFIG_FILE] == static
        with pytest.raises(UsageError, match=r"mine\.yml:1: '\{\"servers\": \[\]\}' has no marker backend"):
            made.with_files({"mine.yml": '{"servers": []}'}, "mine.yml")


def test_what_is_sent_is_not_read_from_the_folder_as_well() -> None:
    files = {WATCHED: own("file").texts[WATCHED], CONFIG_FILE: own("rest").texts[CONFIG_FILE]}
    with pytest.raises(UsageError, match=r"mine: dynamic/app\.yml would be read as well as app\.yml, which is sent"):
        own("rest").with_files(files, "mine")


def test_what_is_sent_may_be_yaml() -> None:
    assert as_json("a:\n  - b\n", "app.yml") == as_json('{"a": ["b"]}', "app.yml") == {"a": ["b"]}
    with pytest.raises(UsageError, match=r"^app\.yml:1: no YAML: "):
        as_json("a: [", "app.yml")
