"""What readers do: copy, search, walk by keyboard, choose a theme, download, print, read without scripts."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from copied_programs import programs_of
from pageblocks import parse_page
from tests.browser.conftest import HTML, WIDTHS, Visit, tab

ROOT = Path(__file__).parents[2]
GUIDE = sorted(path.stem for path in (ROOT / "docs" / "guide").glob("*.rst") if path.stem != "index")

SEARCHES = {
    "dropout": "guide/dropout", "NaN": "symptoms/nan", "learning rate": "guide/learning-rate", "CfC": "guide/cfc",
    "LTC": "guide/ltc", "fit": "api/generated/ncps_mlx.fit", "batch size": "guide/batch-size",
}  # fmt: skip
"""What readers look for, and the page that must be among the first three."""

READ = ("index", "guide/learning-rate", "evidence/claims", "auto_examples/plot_learning_rate")


def clipboard(visit: Visit) -> str:
    """What was copied."""
    return str(visit.page.evaluate("navigator.clipboard.readText()"))


@pytest.mark.parametrize("name", GUIDE)
def test_copy_buttons_give_the_programs_of_the_page(phone: Visit, name: str) -> None:
    page = phone.open(f"guide/{name}")
    blocks = parse_page(ROOT / "docs" / "guide" / f"{name}.rst").blocks
    wanted = [program.code.strip() for program in programs_of(blocks)]
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    copied = []
    for row in page.locator("div.highlight-python ~ div.copy-row, pre.copied-program + div.copy-row").all():
        first = row.locator("button").first
        box = first.bounding_box()
        assert box is not None and min(box["width"], box["height"]) >= 24
        first.click()
        expect(first).to_have_text("Copied")
        assert page.get_by_role("status").last.inner_text() == "Copied"  # which is spoken
        copied.append(clipboard(phone).strip())
    assert [code for code in wanted if code not in copied] == []


def test_commands_are_copied_without_prompts(desktop: Visit) -> None:
    page = desktop.open("start")
    row = page.locator(", ".join(f"div.highlight-{shell} + div.copy-row" for shell in ("console", "bash", "sh")))
    row.first.locator("button").click()
    assert clipboard(desktop).strip() and not clipboard(desktop).startswith("$")


@pytest.mark.parametrize(("words", "wanted"), SEARCHES.items())
def test_search_finds_the_page_that_answers_first(desktop: Visit, words: str, wanted: str) -> None:
    page = desktop.page
    page.goto(f"{desktop.address}/search.html?q={words.replace(' ', '+')}")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    page.wait_for_timeout(500)
    first = [str(link.get_attribute("href")) for link in page.locator("#search-results li a").all()[:3]]
    assert any(wanted in link for link in first), first


def test_a_reader_with_a_keyboard_reaches_everything(desktop: Visit) -> None:
    page = desktop.open("guide/learning-rate")
    reached = set()
    for _ in range(400):
        page.keyboard.press("Tab")
        element = page.evaluate(
            "(() => { const e = document.activeElement; const s = getComputedStyle(e);"
            " return [e.tagName, e.className || '', e.getAttribute('href') || '',"
            " s.outlineStyle !== 'none' || s.boxShadow !== 'none' || e.matches(':focus-visible')]; })()"
        )
        if element[0] == "BODY":
            break
        reached.add((element[0], element[1] if element[0] == "BUTTON" else ""))
        assert element[3], f"{element} shows no focus"
    assert ("A", "") in reached and ("BUTTON", "copy") in reached


def test_a_chosen_theme_persists(desktop: Visit) -> None:
    page = desktop.open("index")
    before = page.evaluate("document.body.dataset.theme")
    page.locator("button.theme-toggle:visible").first.click()
    chosen = page.evaluate("document.body.dataset.theme")
    assert chosen != before
    desktop.open("guide/dropout")
    assert page.evaluate("document.body.dataset.theme") == chosen


def test_scripts_and_notebooks_download(desktop: Visit) -> None:
    page = desktop.open("auto_examples/plot_learning_rate")
    for suffix in (".py", ".ipynb"):
        with page.expect_download() as download:
            page.locator(f"a[href$='{suffix}'][download]").first.click()
        assert download.value.suggested_filename.endswith(suffix)
        assert Path(download.value.path()).stat().st_size > 1000


def test_print_holds_the_text_and_no_buttons(desktop: Visit) -> None:
    page = desktop.open("guide/learning-rate")
    page.emulate_media(media="print")
    assert page.locator("h1").first.is_visible()
    assert not page.locator("div.copy-row:visible").count()


@pytest.mark.parametrize("name", READ)
def test_a_page_can_be_read_without_scripts(browser: Browser, address: str, name: str) -> None:
    width, height = WIDTHS["desktop"]
    context = browser.new_context(java_script_enabled=False, viewport={"width": width, "height": height})
    visit = tab(context, address)
    page = visit.open(name)
    text = page.locator("article").inner_text()
    assert len(text) > 500 and page.locator("article h1").is_visible()
    assert page.locator("pre.copied-program:visible").count() == 0
    context.close()


@pytest.mark.parametrize("name", GUIDE)
def test_a_cold_visit_on_a_phone_is_light(phone: Visit, name: str) -> None:
    sizes: dict[str, int] = {}

    def count(response) -> None:
        kind = response.request.resource_type
        if kind != "image":
            body = response.body()
            is_text = "font" not in kind
            sizes[response.url] = len(gzip.compress(body)) if is_text else len(body)

    phone.page.on("response", count)
    phone.open(f"guide/{name}")
    phone.page.wait_for_timeout(200)
    assert sum(sizes.values()) <= 150_000, sizes


def test_the_site_is_there() -> None:
    assert (HTML / "index.html").is_file()
