"""The page: every run's part, with what draws it, in one file."""

from collections.abc import Sequence

from bokeh.embed import components
from bokeh.resources import Resources
from markupsafe import Markup

from proxyreload.record.paths import RunPaths
from proxyreload.report.section import Budget, Section, section
from proxyreload.report.story import Story, read_story
from proxyreload.report.template import filled

#: The whole page, in bytes.
SIZE_LIMIT = 3_000_000
_SHARES = (1.0, 0.5, 0.2, 0.05)


def page(paths: Sequence[RunPaths]) -> str:
    """Return the page of these runs; raises `UsageError` if a file is not what it should be."""
    stories = [read_story(each) for each in paths]
    text = ""
    for share in _SHARES:
        text = render(stories, Budget().part(share / len(stories)))
        if len(text.encode()) < SIZE_LIMIT:
            break
    return text


def render(stories: Sequence[Story], budget: Budget) -> str:
    """Return the page, each run within `budget`."""
    sections = [section(story, index, budget) for index, story in enumerate(stories, 1)]
    library = "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)
    return filled(
        "report.html",
        sections=sections,
        drawings=[_drawing(each) for each in sections],
        library=Markup(library),  # noqa: S704  (Bokeh's own script)
    )


def _drawing(told: Section) -> tuple[Markup, dict[str, Markup]]:
    """Return the script that draws a run's figures, and the places that it draws them in."""
    if not told.panels:
        return Markup(), {}
    script, places = components({panel.name: panel.drawn for panel in told.panels}, wrap_script=False)
    # Bokeh escapes what is in the figures itself, for a script in a page.
    return Markup(script), {name: Markup(place) for name, place in places.items()}  # noqa: S704
