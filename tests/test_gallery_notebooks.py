"""The gallery's notebooks hold what their scripts gave."""

from __future__ import annotations

import base64
import zipfile
from pathlib import Path

import nbformat
import pytest

from gallery_notebooks import NEEDS, fill, pack

OUTPUTS = [
    "",
    """

.. image-sg:: /auto_examples/images/dots.png
   :alt: Two dots.
   :srcset: /auto_examples/images/dots.png

.. rst-class:: sphx-glr-script-out

 .. code-block:: none

    twice 4 is 8.0
      indented


""",
]


def notebook(path: Path, cells: int = 1) -> Path:
    new = nbformat.v4
    code = [new.new_code_cell("print(8.0)") for _ in range(cells)]
    nbformat.write(new.new_notebook(cells=[new.new_code_cell(NEEDS), new.new_markdown_cell("Prose"), *code]), path)
    return path


def test_what_a_block_printed_and_drew_is_in_its_cell(tmp_path: Path) -> None:
    picture = tmp_path / "auto_examples" / "images" / "dots.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"a picture")
    path = notebook(tmp_path / "plot_dots.ipynb")
    for _ in range(2):  # filled again it is the same
        fill(path, OUTPUTS, tmp_path)
        needs, _, code = nbformat.read(path, as_version=4).cells
        printed, drawn = code.outputs
        assert needs.outputs == [] and printed.text == "twice 4 is 8.0\n  indented\n"
        assert base64.b64decode(drawn.data["image/png"]) == b"a picture" and drawn.data["text/plain"] == "Two dots."
    nbformat.validate(nbformat.read(path, as_version=4))


def test_outputs_of_other_cells_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        fill(notebook(tmp_path / "plot_dots.ipynb", cells=2), OUTPUTS, tmp_path)


def test_archives_hold_the_files_as_they_are(tmp_path: Path) -> None:
    file, archive = tmp_path / "plot_dots.ipynb", tmp_path / "plot_dots.zip"
    file.write_text("empty", encoding="utf-8")
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(file, file.name)
    file.write_text("filled", encoding="utf-8")
    pack(archive)
    with zipfile.ZipFile(archive) as zipped:
        assert zipped.namelist() == [file.name] and zipped.read(file.name) == b"filled"
