"""Every page, in both themes and at two widths: no error, no request to elsewhere, accessible, no sideways scroll."""

from __future__ import annotations

import pytest

from tests.browser.conftest import AXE, HTML, Visit

PAGES = sorted(path.relative_to(HTML).with_suffix("").as_posix() for path in HTML.rglob("*.html"))
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
ASK = "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations']})"
SIDEWAYS = """Math.max(...[document.documentElement, document.querySelector('.content')].map(
    each => each.scrollWidth - each.clientWidth))"""


def violations(visit: Visit) -> list[str]:
    """What axe finds on the page as it is shown."""
    found = visit.page.evaluate(ASK, RULES)["violations"]
    return [f"{each['id']}: {node['target']} {node['failureSummary']}" for each in found for node in each["nodes"]]


def show(visit: Visit, theme: str) -> None:
    """Show the page in a theme, as its button does."""
    visit.page.evaluate("theme => { document.body.dataset.theme = theme; }", theme)


def faults(visit: Visit) -> list[str]:
    """What is wrong with the open page."""
    visit.page.add_script_tag(path=AXE)
    show(visit, "light")
    found = violations(visit)
    show(visit, "dark")
    found += [f"dark {each}" for each in violations(visit)]
    wide = visit.page.evaluate(SIDEWAYS)
    found += [f"sideways by {wide} px"] if wide > 0 else []
    found += [f"says {error}" for error in visit.errors]
    return found + [f"asks elsewhere: {url}" for url in visit.elsewhere]


@pytest.fixture(params=["phone", "desktop"])
def visit(request: pytest.FixtureRequest) -> Visit:
    """A tab of each width."""
    found: Visit = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_sound_in_both_themes(visit: Visit, name: str) -> None:
    visit.open(name)
    found = faults(visit)
    assert not found, "\n".join(found)


LAST = "document.querySelector('article').insertAdjacentHTML('beforeend', `{}`)"


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("document.querySelector('h1').style.color = '#eee'", "color-contrast"),
        ("document.querySelector('h1').style.color = '#222'", "dark color-contrast"),
        (LAST.format("<img src='_static/icon.svg'>"), "image-alt"),
        (LAST.format("<button></button>"), "button-name"),
        (LAST.format("<h5>A leap</h5>"), "heading-order"),
        (LAST.format("<div style='width: 3000px'>wide</div>"), "sideways by"),
        (LAST.format("<img src='_static/none.png' alt='none'>"), "says Failed to load"),
        ("console.error('planted')", "says planted"),
        ("setTimeout(() => { throw new Error('thrown'); })", "says thrown"),
        ("fetch('http://127.0.0.1:9/planted').catch(() => {})", "asks elsewhere: http://127.0.0.1:9/planted"),
    ],
    ids=["light", "dark", "image", "button", "heading", "wide", "missing", "said", "thrown", "elsewhere"],
)
def test_a_planted_fault_is_seen(visit: Visit, fault: str, seen: str) -> None:
    page = visit.open("index")
    page.evaluate(fault)
    page.wait_for_timeout(300)
    found = faults(visit)
    assert any(each.startswith(seen) for each in found), found
