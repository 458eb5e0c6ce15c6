"""Keep what gallery scripts gave, keyed on their code, the library's code and the versions.

Sphinx-gallery itself runs a script again when any byte of it changed, and not when the library did. Here its
``execute_script`` is wrapped: the text of a script may change freely, its outputs are taken from the last run of the
same code. Importing this module puts the wrapper in place; the gallery's worker processes import it through the
scraper's name before they execute anything.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import sphinx_gallery.gen_rst as gen_rst

from digest import code_digest, digest_of, library_digest, record_behind, record_digest, versions

__all__ = ["execute_script", "script_key"]

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("figures.py", "gallery_figures.py", "points.py")
original = gen_rst.execute_script


def script_key(code: list[str], root: Path = ROOT) -> str:
    """Return the key under which the outputs of a script with these code blocks are kept.

    A script that checks claims depends on their record, too; and so does the key of no script, which stands for all.
    """
    tools = [code_digest(Path(__file__).with_name(name).read_text(encoding="utf-8")) for name in TOOLS]
    record = record_behind(code, root) if code else [record_digest(root)]
    return digest_of(library_digest(root), versions(), *tools, *record, *map(code_digest, code))


def execute_script(
    script_blocks: list[Any],
    script_vars: dict[str, Any],
    gallery_conf: dict[str, Any],
    file_conf: dict[str, Any],
) -> tuple[list[str], float]:
    """Do what sphinx-gallery's function of that name does, or take the outputs of the last run of the same code."""
    name = Path(script_vars["src_file"]).stem
    folder = ROOT / ".cache" / "gallery" / name
    try:
        key = script_key([block.content for block in script_blocks if block.type == "code"])
    except SyntaxError:
        key = ""  # never kept: the gallery reports the error with its line
    images = Path(script_vars["target_file"]).parent / "images"
    kept = folder / "run.json"
    if script_vars["execute_script"] and kept.exists():
        run = json.loads(kept.read_text(encoding="utf-8"))
        if run["key"] == key:
            for file in folder.glob("sphx_glr_*"):
                shutil.copy2(file, images / file.name)
            target = script_vars["target_file"]
            script_vars.update(example_globals={}, memory_delta=0.0, passing=True)
            Path(f"{target}.md5").write_text(gen_rst.get_md5sum(target, mode="t"), encoding="utf-8")
            return run["outputs"], run["seconds"]
    for old in images.glob(f"sphx_glr_{name}_[0-9][0-9][0-9].*"):
        old.unlink()
    outputs, seconds = original(script_blocks, script_vars, gallery_conf, file_conf)
    if script_vars["execute_script"]:
        print(f"[gallery] executed {name}: {seconds:.1f} s", flush=True)
    if key and script_vars.get("passing"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in images.glob(f"sphx_glr_{name}_[0-9][0-9][0-9].*"):
            shutil.copy2(file, folder / file.name)
        run = {"key": key, "outputs": outputs, "seconds": seconds}
        kept.write_text(json.dumps(run), encoding="utf-8")
    return outputs, seconds


gen_rst.execute_script = execute_script
