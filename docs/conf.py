"""How Sphinx builds the site. What the build executes is kept under .cache until code or versions change."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS / "_ext"))

import digest
import found
import gallery_notebooks
import pagerun

# Gallery workers and notebook kernels are processes of their own: they inherit the machinery.
os.environ.update(pagerun.environment())
del os.environ["MPLBACKEND"]  # kernels show figures inline; the gallery chooses Agg itself
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(DOCS / "_ext"), *filter(None, [os.environ.get("PYTHONPATH")])]
)

project = "ncps-mlx"
copyright = "The ncps-mlx authors, Apache-2.0"
author = "The ncps-mlx authors"
version = release = "0.1.0"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx_gallery.gen_gallery",
    "sphinx_design",
    "myst_nb",
    "guide_pages",
    "recorded_pages",
    "evidence_pages",
    "claim_cards",
    "typed_numbers",
    "claim_pages",
    "record_check",
    "record_archive",
    "api_names",
    "api_pages",
    "gallery_figures",
    "gallery_notebooks",
    "formulas",
    "table_cards",
    "notebook_downloads",
    "stale_pages",
    "found",
    "pictures",
    "accessible",
    "stylesheet",
    "notfound.extension",
]
if (DOCS / "knobs").is_dir():
    extensions.append("knob_pages")  # a project without a guide has none
exclude_patterns = [
    "_build",
    "_ext",
    "_inventories",
    # The gallery's downloads are no pages.
    "auto_examples/*.ipynb",
    "auto_examples/*.py",
    "auto_examples/*.json",
    "**/*.md5",
    "**/*.ipynb",
]
nitpicky = True
# A block without a language is no python: what is python says so, is executed and is counted.
highlight_language = "none"
templates_path = ["_templates"]
suppress_warnings = [
    "config.cache"
]  # the gallery's settings hold functions; nothing depends on pickling them

# -- API ------------------------------------------------------------------------------------------------------
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"npt.ArrayLike": "numpy.typing.ArrayLike", "ArrayLike": "numpy.typing.ArrayLike"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 88
add_module_names = False

# -- other projects: no network while building, so their inventories lie here ----------------------------------
INVENTORIES = {
    "python": "https://docs.python.org/3/",
    "numpy": "https://numpy.org/doc/stable/",
    "mlx": "https://ml-explore.github.io/mlx/build/html/",
    "optuna": "https://optuna.readthedocs.io/en/stable/",
    "matplotlib": "https://matplotlib.org/stable/",
}
intersphinx_mapping = {
    name: (address, str(DOCS / "_inventories" / f"{name}.inv")) for name, address in INVENTORIES.items()
}

# -- gallery --------------------------------------------------------------------------------------------------
sphinx_gallery_conf: dict[str, Any] = {
    "examples_dirs": "../gallery",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "/plot_",
    "backreferences_dir": "auto_examples/backreferences",
    "doc_module": ("ncps_mlx",),
    "inspect_global_variables": False,
    "image_scrapers": ("gallery_figures.scrape",),
    "reset_modules": ("gallery_figures.reset",),
    "parallel": 2,
    "only_warn_on_example_error": True,
    "write_computation_times": False,  # that page pulls scripts from elsewhere
    "capture_repr": (),  # what a script tells, it prints
    "first_notebook_cell": gallery_notebooks.NEEDS,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "download_all_examples": True,
    "min_reported_time": 0,
    "plot_gallery": True,
    "run_stale_examples": False,  # gallery_figures makes scripts stale when the library or a version changed
    "junit": "",
    "within_subsection_order": "gallery_figures.ReadersOrder",
}

# -- notebooks ------------------------------------------------------------------------------------------------
nb_execution_mode = "cache"
nb_execution_cache_path = str(
    ROOT / ".cache" / "jupyter" / digest.digest_of(digest.library_digest(ROOT), digest.versions())
)
nb_execution_timeout = 600
nb_execution_raise_on_error = False  # an error is a warning with its place; -W makes the build fail
nb_execution_show_tb = True
nb_merge_streams = True
nb_output_stderr = "remove-warn"  # a notebook that writes to stderr warns its reader of something: mend it
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3

# -- where the site and the project live: nothing of this without an address ------------------------------------
ADDRESSES = found.addresses(ROOT)
if "Documentation" in ADDRESSES:
    extensions += ["sphinx_sitemap", "sphinxext.opengraph"]
    html_baseurl = f"{ADDRESSES['Documentation']}/"
    sitemap_url_scheme = "{link}"
    ogp_site_url = html_baseurl
    ogp_social_cards = {"image": "_static/icon.png"}  # cards take no SVG
    ogp_enable_meta_description = False  # every page has one already
notfound_urls_prefix = urlsplit(ADDRESSES.get("Documentation", "")).path + "/"
notfound_context = {
    "title": "There is no such page",
    "body": f"""<h1>There is no such page</h1>
<p>It may have moved. Search for a word of it, or begin with the
<a href="{notfound_urls_prefix}index.html">start page</a>.</p>
<form action="{notfound_urls_prefix}search.html" role="search" aria-label="Search from here">
<label for="sought">Search the guide</label>
<input id="sought" name="q" type="search"> <button type="submit" class="copy">Search</button></form>""",
}

# -- HTML -----------------------------------------------------------------------------------------------------
html_theme = "furo"
html_title = "ncps-mlx"
html_static_path = ["_static"]
html_css_files = ["claims.css", "site.css"]
html_js_files = ["copy.js", "scroll.js", "points.js"]
html_search_scorer = str(DOCS / "_static" / "search_scorer.js")
html_favicon = "_static/icon.svg"
html_logo = "_static/icon.svg"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_math_renderer = "mathml"
linkcheck_ignore = [r"(?!https?://)"]  # what leads to a page of this site, tests/site follows
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
html_theme_options: dict[str, Any] = {
    "light_css_variables": {
        "color-brand-primary": "#0b5f6b",
        "color-brand-content": "#0b5f6b",
        "color-code-background": "#f4f6f8",
        "font-stack": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
        "font-stack--monospace": "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace",
    },
    "dark_css_variables": {
        "color-brand-primary": "#5cc8d7",
        "color-brand-content": "#5cc8d7",
    },
}
if "github.com" in ADDRESSES.get("Repository", ""):  # a link to edit each page
    html_theme_options |= {
        "source_repository": ADDRESSES["Repository"],
        "source_branch": "main",
        "source_directory": "docs/",
    }
