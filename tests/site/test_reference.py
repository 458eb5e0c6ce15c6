"""The API reference has every public name, with the scripts that use it."""

from __future__ import annotations

import inspect

import pytest

from api_pages import home, public_modules
from tests.site.site_pages import soup

NAMES = sorted({home(module, name) for module in public_modules().values() for name in module.__all__})


@pytest.mark.parametrize("name", [name for name in NAMES if name not in public_modules()])
def test_every_public_name_has_its_entry(name: str) -> None:
    module = name.rpartition(".")[0]
    entry = soup(f"api/generated/{module}").find(id=name)
    assert entry is not None, f"{name} must have an entry on its module's page"


def test_every_public_module_has_a_page_and_a_docstring() -> None:
    for name, module in public_modules().items():
        assert inspect.getdoc(module), name
        assert soup(f"api/generated/{name}").find("h1") is not None
