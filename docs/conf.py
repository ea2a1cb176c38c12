"""Settings of Sphinx; `make docs` builds, with warnings as errors."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "extensions")]

from netprobe import __version__  # noqa: E402

project = "netprobe"
author = "the netprobe developers"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "command_help", "findings_reference"]
exclude_patterns = ["extensions"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Backticks in docstrings are code.
default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"netprobe {release}"
html_static_path = ["static"]
html_css_files = ["netprobe.css"]
html_copy_source = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "native"
