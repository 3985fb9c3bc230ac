"""How Sphinx makes the documentation site of these pages: `make docs`."""

from __future__ import annotations

import impact_plugin

project = "impact-plugin"
author = "the developers of impact-plugin"
release = impact_plugin.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
]
exclude_patterns = ["pictures"]
html_theme = "furo"
html_title = f"impact-plugin {release}"
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["colon_fence", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# "attr" of classes that are documented as a whole
napoleon_use_ivar = True

# Pages that come with parts of the package of their own are named by patterns in the indices.
suppress_warnings = ["toc.empty_glob"]
