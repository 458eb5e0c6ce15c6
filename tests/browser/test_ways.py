"""What readers do: copy, search, walk by keyboard, choose a theme, download, print, read without scripts.

Each check returns what is wrong. It is run on the site, where it finds nothing, and on a site with a fault planted,
which it must see.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Response
from playwright.sync_api import TimeoutError as LateError

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

LIGHT = 150_000
"""The most bytes of a first visit to a page of the guide."""

READ = ("index", "guide/learning-rate", "evidence/claims", "auto_examples/plot_learning_rate")


def clipboard(visit: Visit) -> str:
    """What was copied."""
    return str(visit.page.evaluate("navigator.clipboard.readText()"))


def plant(page: Page, files: str, change: Callable[[str], str]) -> None:
    """Change the text of files of the site on their way to a tab."""

    def changed(route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=change(answer.text()))

    page.route(files, changed)


def style(rule: str) -> tuple[str, Callable[[str], str]]:
    """What adds a rule to the style sheet."""
    return "**/style.css*", lambda text: text + rule


# -- copying ----------------------------------------------------------------------------------------------------


def wrong_copies(visit: Visit, name: str) -> list[str]:
    """Blocks of a page of the guide whose buttons give no program, are small, hidden or do not say what they did."""
    page = visit.open(f"guide/{name}")
    blocks = parse_page(ROOT / "docs" / "guide" / f"{name}.rst").blocks
    wanted = [program.code.strip() for program in programs_of(blocks)]
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    copied, wrong = [], []
    for row in page.locator("div.highlight-python ~ div.copy-row, pre.copied-program + div.copy-row").all():
        first = row.locator("button").first
        box = first.bounding_box()
        if box is None or min(box["width"], box["height"]) < 24:
            wrong.append(f"a button of {box}")
            continue
        first.click()
        try:
            page.wait_for_function("each => each.textContent === 'Copied'", arg=first.element_handle(), timeout=3000)
        except LateError:
            wrong.append(f"{first.inner_text()!r} after a press")
            continue
        if page.get_by_role("status").last.inner_text() != "Copied":
            wrong.append("nothing is spoken")
        copied.append(clipboard(visit).strip())
    return wrong + [f"no button gives\n{code}" for code in wanted if code not in copied]


@pytest.mark.parametrize("name", GUIDE)
def test_copy_buttons_give_the_programs_of_the_page(phone: Visit, name: str) -> None:
    assert wrong_copies(phone, name) == []


@pytest.mark.parametrize(
    ("files", "change", "seen"),
    [
        ("**/copy.js*", lambda text: text.replace("program.textContent)", "text)"), "no button gives"),
        ("**/copy.js*", lambda text: text.replace('"Copied"', '"Done"'), "after a press"),
        ("**/copy.js*", lambda text: text.replace("announcer.textContent = text", ""), "is spoken"),
        (*style("button.copy { font-size: 6px; min-height: 8px }"), "a button of"),
    ],
    ids=["the bare block", "says nothing", "silent", "small"],
)
def test_a_wrong_copy_is_seen(phone: Visit, files: str, change: Callable[[str], str], seen: str) -> None:
    plant(phone.page, files, change)
    assert any(seen in each for each in wrong_copies(phone, "learning-rate"))


def test_commands_are_copied_without_prompts(desktop: Visit) -> None:
    page = desktop.open("start")
    row = page.locator(", ".join(f"div.highlight-{shell} + div.copy-row" for shell in ("console", "bash", "sh")))
    row.first.locator("button").click()
    assert clipboard(desktop).strip() and not clipboard(desktop).startswith("$")


# -- finding ----------------------------------------------------------------------------------------------------


def first_found(visit: Visit, words: str) -> list[str]:
    """The first three pages that a search finds."""
    page = visit.page
    page.goto(f"{visit.address}/search.html?q={words.replace(' ', '+')}")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    page.wait_for_timeout(500)
    return [str(link.get_attribute("href")) for link in page.locator("#search-results li a").all()[:3]]


@pytest.mark.parametrize(("words", "wanted"), SEARCHES.items())
def test_search_finds_the_page_that_answers_first(desktop: Visit, words: str, wanted: str) -> None:
    found = first_found(desktop, words)
    assert any(wanted in link for link in found), found


def test_a_search_without_our_ranks_is_seen(desktop: Visit) -> None:
    plant(desktop.page, "**/language_data.js*", lambda text: text.replace("score: (", "other: ("))
    assert any(wanted not in "".join(first_found(desktop, words)) for words, wanted in SEARCHES.items())


# -- by keyboard ------------------------------------------------------------------------------------------------

FOCUSED = """() => {
    const focused = document.activeElement, style = getComputedStyle(focused);
    const told = (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none';
    const at = [...document.querySelectorAll('*')].indexOf(focused);
    return [focused.tagName, focused.className.toString(), told, at];
}"""


def walked(visit: Visit, name: str) -> tuple[set[str], list[str]]:
    """What the tab key reaches on a page, and what of it does not show that it is reached."""
    page = visit.open(name)
    reached, hidden, places = set(), [], set()
    for _ in range(2000):
        page.keyboard.press("Tab")
        tag, classes, told, place = page.evaluate(FOCUSED)
        if tag == "BODY" or place in places:
            break
        places.add(place)
        reached |= {tag.lower(), *(f"{tag.lower()}.{each}" for each in classes.split())}
        if not told:
            hidden.append(f"{tag} {classes}")
    return reached, hidden


@pytest.mark.parametrize("name", READ)
def test_a_reader_with_a_keyboard_reaches_everything(desktop: Visit, name: str) -> None:
    reached, hidden = walked(desktop, name)
    assert hidden == []
    assert {"a", "button.theme-toggle", "input.sidebar-search"} <= reached
    if desktop.page.locator("button.copy").count():
        assert "button.copy" in reached
    if desktop.page.locator("details").count():
        assert "summary" in reached


def test_a_focus_that_is_not_shown_and_a_button_out_of_reach_are_seen(desktop: Visit) -> None:
    plant(desktop.page, *style(f"a{':focus-visible' * 3} {{ outline: none !important; box-shadow: none !important }}"))
    assert any(each.startswith("A ") for each in walked(desktop, "index")[1])
    plant(desktop.page, "**/copy.js*", lambda text: text.replace('made.type = "button"', "made.tabIndex = -1"))
    assert "button.copy" not in walked(desktop, "index")[0]


# -- themes, downloads, paper, no scripts --------------------------------------------------------------------------


def kept_theme(visit: Visit) -> bool:
    """Whether a theme that was chosen on one page is that of the next."""
    page = visit.open("index")
    before = page.evaluate("document.body.dataset.theme")
    page.locator("button.theme-toggle:visible").first.click()
    chosen = page.evaluate("document.body.dataset.theme")
    visit.open("guide/dropout")
    return before != chosen and bool(page.evaluate("document.body.dataset.theme") == chosen)


def test_a_chosen_theme_persists(desktop: Visit) -> None:
    assert kept_theme(desktop)


def test_a_theme_that_is_forgotten_is_seen(desktop: Visit) -> None:
    desktop.page.add_init_script("Storage.prototype.setItem = () => {}")
    assert not kept_theme(desktop)


def downloaded(visit: Visit) -> dict[str, int]:
    """The bytes of the files that a page of the gallery offers, by their endings."""
    page = visit.open("auto_examples/plot_learning_rate")
    sizes = {}
    for suffix in (".py", ".ipynb"):
        link = page.locator(f"a[href$='{suffix}'][download]").first
        if link.count():
            with page.expect_download() as download:
                link.click()
            assert download.value.suggested_filename.endswith(suffix)
            sizes[suffix] = Path(download.value.path()).stat().st_size
    return sizes


def test_scripts_and_notebooks_download(desktop: Visit) -> None:
    sizes = downloaded(desktop)
    assert set(sizes) == {".py", ".ipynb"} and min(sizes.values()) > 1000


def test_a_link_that_does_not_download_is_seen(desktop: Visit) -> None:
    plant(desktop.page, "**/plot_learning_rate.html", lambda text: text.replace('.ipynb"', '.txt"'))
    assert set(downloaded(desktop)) == {".py"}


def wrong_on_paper(visit: Visit) -> list[str]:
    """What a printed page has and should not, or has not and should."""
    page = visit.open("guide/learning-rate")
    page.emulate_media(media="print")
    wrong = [] if page.locator("article h1").first.is_visible() else ["no heading"]
    return wrong + [f"{each} is printed" for each in PAPERLESS if page.locator(f"{each}:visible").count()]


PAPERLESS = ("div.copy-row", "aside.sidebar-drawer", "aside.toc-drawer", "nav.breadcrumbs")


def test_print_holds_the_text_and_no_buttons(desktop: Visit) -> None:
    assert wrong_on_paper(desktop) == []


def test_what_is_wrong_on_paper_is_seen(desktop: Visit) -> None:
    plant(desktop.page, *style("@media print { h1 { display: none } div.copy-row { display: flex !important } }"))
    assert wrong_on_paper(desktop) == ["no heading", "div.copy-row is printed"]


def wrong_without_scripts(visit: Visit, name: str) -> list[str]:
    """What cannot be read on a page without scripts, or should not be seen there."""
    page = visit.open(name)
    wrong = [] if page.locator("article h1").is_visible() else ["no heading"]
    wrong += [] if len(page.locator("article").inner_text()) > 500 else ["no text"]
    return wrong + ["a program for scripts"] * page.locator("pre.copied-program:visible").count()


@pytest.fixture
def plain(browser: Browser, address: str) -> Iterator[Visit]:
    """A tab without scripts."""
    width, height = WIDTHS["desktop"]
    context = browser.new_context(java_script_enabled=False, viewport={"width": width, "height": height})
    yield tab(context, address)
    context.close()


@pytest.mark.parametrize("name", READ)
def test_a_page_can_be_read_without_scripts(plain: Visit, name: str) -> None:
    assert wrong_without_scripts(plain, name) == []


def test_what_needs_scripts_is_seen(plain: Visit) -> None:
    plant(plain.page, *style("article h1 { display: none } pre.copied-program { display: block !important }"))
    assert {"no heading", "a program for scripts"} <= set(wrong_without_scripts(plain, "guide/learning-rate"))


# -- weight -----------------------------------------------------------------------------------------------------


def weight(visit: Visit, name: str) -> int:
    """Bytes of a first visit to a page, compressed, before pictures."""
    sizes: dict[str, int] = {}

    def count(response: Response) -> None:
        if response.request.resource_type != "image":
            sizes[response.url] = len(gzip.compress(response.body()))

    visit.page.on("response", count)
    visit.open(name)
    visit.page.wait_for_timeout(200)
    return sum(sizes.values())


@pytest.mark.parametrize("name", GUIDE)
def test_a_cold_visit_on_a_phone_is_light(phone: Visit, name: str) -> None:
    assert weight(phone, f"guide/{name}") <= LIGHT


def test_a_heavy_script_is_seen(phone: Visit) -> None:
    noise = "".join(f"{zlib.crc32(str(n).encode()):08x}" for n in range(40_000))
    plant(phone.page, "**/copy.js*", lambda text: f"{text}\n// {noise}")
    assert weight(phone, "guide/dropout") > LIGHT


def test_the_site_is_there() -> None:
    assert (HTML / "index.html").is_file()
