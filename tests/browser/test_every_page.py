"""Every page, in both themes and at two widths: no error, no request to elsewhere, accessible, no sideways scroll."""

from __future__ import annotations

import pytest

from tests.browser.conftest import AXE, HTML, THEMES, Visit

PAGES = sorted(path.relative_to(HTML).with_suffix("").as_posix() for path in HTML.rglob("*.html"))
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
ASK = "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations']})"


def violations(visit: Visit) -> list[str]:
    """What axe finds on the page as it is shown."""
    found = visit.page.evaluate(ASK, RULES)["violations"]
    return [f"{each['id']}: {node['target']} {node['failureSummary']}" for each in found for node in each["nodes"]]


def show(visit: Visit, theme: str) -> None:
    """Show the page in a theme, as its button does."""
    visit.page.evaluate("theme => { document.body.dataset.theme = theme; }", theme)


@pytest.fixture(params=["phone", "desktop"])
def visit(request: pytest.FixtureRequest) -> Visit:
    """A tab of each width."""
    found: Visit = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_sound_in_both_themes(visit: Visit, name: str) -> None:
    page = visit.open(name)
    page.add_script_tag(path=AXE)
    for theme in THEMES:
        show(visit, theme)
        found = violations(visit)
        assert not found, f"{theme}: " + "\n".join(found)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"scrolls sideways by {wide} px"
    assert visit.errors == [] and visit.elsewhere == []


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("document.querySelector('h1').style.color = '#eee'", "color-contrast"),
        ("document.querySelector('article').insertAdjacentHTML('beforeend', '<img src=x.png>')", "image-alt"),
        ("document.querySelector('article').insertAdjacentHTML('beforeend', '<button></button>')", "button-name"),
    ],
)
def test_a_planted_fault_is_seen(desktop: Visit, fault: str, seen: str) -> None:
    page = desktop.open("index")
    page.add_script_tag(path=AXE)
    show(desktop, "light")
    page.evaluate(fault)
    assert any(each.startswith(seen) for each in violations(desktop))


def test_a_planted_error_and_a_request_to_elsewhere_are_seen(desktop: Visit) -> None:
    page = desktop.open("index")
    page.evaluate("console.error('planted'); fetch('http://127.0.0.1:9/planted').catch(() => {})")
    page.wait_for_timeout(300)
    assert "planted" in desktop.errors[0] and desktop.elsewhere
