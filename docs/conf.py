"""The documentation as a site: ``make docs``.

Its pages are those that a Git host shows. MyST reads them as CommonMark, which is what they are there too, and finds
the page, the file or the heading that a link between files is about: one that leads nowhere is a warning, and fails
the make.
"""

project = "proxyreload"
extensions = ["myst_parser", "sphinx_external_toc"]
include_patterns = ["*.md", "docs/*.md"]
exclude_patterns = [".*", "build", "dist"]
external_toc_path = "docs/_toc.yml"
# Headings have the anchors that a Git host gives them.
myst_heading_anchors = 6
# Quotes and dashes stay what they are: `--` begins an option.
smartquotes = False

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
# Who opens the folder, or a server's root, is sent on to the front page.
html_additional_pages = {"index": "front.html"}
# An excerpt below what the search has found would be read from the page by HTTP, which a folder does not speak.
html_show_search_summary = False
html_copy_source = False
html_show_copyright = False
html_use_index = False
