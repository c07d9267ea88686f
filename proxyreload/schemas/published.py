"""The schemas that come with the program, one for each file that scripts rely on."""

from importlib.resources import files

_ENDING = ".schema.json"


def schemas() -> dict[str, str]:
    """Return each schema's text by the name of what it describes: ``run`` is that of ``run.json``.

    Each stands by itself: it refers to nothing outside. What they say is explained in ``docs/files.md``.
    """
    found = [each for each in files("proxyreload.schemas").iterdir() if each.name.endswith(_ENDING)]
    return {
        each.name.removesuffix(_ENDING): each.read_text(encoding="utf-8")
        for each in sorted(found, key=lambda each: each.name)
    }
