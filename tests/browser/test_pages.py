"""The two pages from disk: they load nothing, are legible on a phone and in the dark, and what moves shows numbers."""

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from elbowroom.analysis.latent_space.projections import Points, Projections
from elbowroom.analysis.pages.interactive import views
from elbowroom.analysis.pages.report import render
from elbowroom.analysis.reporting import report
from elbowroom.analysis.runs.arrays import Examples
from elbowroom.tracking.data.datasets import load_dataset
from elbowroom.tracking.store.names import Artifact, Tag
from tests.analysis.example_runs import errors, log
from tests.analysis.pages.test_hostile_names import findings as hostile_findings
from tests.analysis.pages.test_report import PNG
from tests.analysis.pages.test_report import page as page_of
from tests.browser.conftest import PATIENCE, Browsed
from tests.hostile import NAMES

pytestmark = pytest.mark.integration

Scheme = Literal["light", "dark"]
PHONE, DESK = 390, 1200
LEAST_CONTRAST = 4.5  # of text to what is behind it, as WCAG 2.2 AA asks for

# For every element with text of its own that is shown: the contrast of its colour to the nearest background.
CONTRASTS = """() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const colour = numbers(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const own = e => [...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim());
  return [...document.body.querySelectorAll("*")].filter(e => own(e) && e.checkVisibility()).map(e => {
    const [a, b] = [light(numbers(getComputedStyle(e).color)), light(behind(e))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.textContent.slice(0, 60)];
  });
}"""


@pytest.mark.timeout(120)
@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="apt-get install chromium to look at the page")
def test_a_report_is_whole_without_a_network_and_legible(chromium: Browser, store: MlflowClient) -> None:
    for k in range(1, 9):
        for model in ("pca", "ae", "vae"):
            log(store, model=model, dim3=k, error=1 / k, test=1 / k)
    page = report(tracking_uri=store.tracking_uri, experiment="e", out="out", log=False).page
    for width, scheme in ((DESK, "light"), (PHONE, "dark")):
        check(chromium, page, width, scheme, 4)  # type: ignore[arg-type]


@pytest.mark.timeout(1200)
@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("name", ["report.html", "assignment.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_a_study_s_page_is_whole_without_a_network_and_legible(
    chromium: Browser, browsed: Browsed, name: str, scheme: Scheme, width: int
) -> None:
    check(chromium, browsed.folder / "reports" / name, width, scheme, 6)


def in_chromium(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a slow test that needs Chromium alone, and no study."""
    absent = shutil.which("chromium") is None
    marks = (pytest.mark.timeout(300), pytest.mark.browser, pytest.mark.slow)
    for mark in (*marks, pytest.mark.skipif(absent, reason="apt-get install chromium to look")):
        test = mark(test)
    return test


def log_pictures(store: MlflowClient, folder: Path) -> None:
    """PCA at 2, 4, …, 12, whose pictures are as grey as 10 times dim3, and an autoencoder at all to 6, in white.

    The mean row errs 2, PCA 1 / dim3, the autoencoder half of that.
    """
    for model, dim3, factor in (("pca", range(2, 13, 2), 1.0), ("ae", range(2, 7), 0.5)):
        for k in dim3:
            rows = np.tile(np.linspace(0, 255, 16), (8, 1))
            made = np.full_like(rows, 10 * k if model == "pca" else 255)
            arrays = {Artifact.ORIGINALS: rows, Artifact.RECONSTRUCTIONS: made} | errors(factor / k, factor / k, 0, 2.0)
            arrays |= {Artifact.CODES: codes_at_corners(k, model), Artifact.LABELS: np.arange(5)}
            arrays |= {Artifact.PICTURES: np.repeat(50 * np.arange(5, dtype=np.uint8), 16).reshape(5, 4, 4)}
            tags = {Tag.IMAGE_SHAPE: "4x4"}
            log(store, model=model, dim3=k, error=factor / k, test=factor / k, arrays=arrays, folder=folder, tags=tags)


def codes_at_corners(dim3: int, model: str) -> np.ndarray:
    """Four codes at the corners of a square from the top left on, and the fifth amid; the other way round for others.

    The square is wider than high, so that its sides are the principal axes.
    """
    square = np.array([[-2.0, 1], [2, 1], [-2, -1], [2, -1], [0, 0]]) * (1 if model == "pca" else -1)
    return np.pad(square, ((0, 0), (0, dim3 - 2)))


@pytest.fixture
def opened(chromium: Browser, store: MlflowClient, tmp_path: Path) -> Iterator[Page]:
    log_pictures(store, tmp_path / "arrays")
    path = report(tracking_uri=store.tracking_uri, experiment="e", out=tmp_path / "out", log=False).page
    said: list[str] = []
    with chromium.new_context(viewport={"width": DESK, "height": 1400}) as context:
        page = context.new_page()
        page.on("console", lambda m: said.append(m.text))
        page.on("pageerror", lambda e: said.append(str(e)))
        page.goto(path.resolve().as_uri(), timeout=PATIENCE)
        yield page
    assert said == []


@in_chromium
def test_a_reader_moves_dim3_and_asks_the_plot(opened: Page) -> None:
    page = opened
    # The slider: each model's pictures at that dim3, or at the nearest smaller one.
    pca, ae = page.locator(".example").nth(1), page.locator(".example").nth(2)
    slider = page.locator("[data-live=c1-pictures]").get_by_role("slider", name="dim3")
    slider.focus()
    for key, dim3, of_pca, texts in (
        ("Home", 2, 2, ("pca keeps 75.0 %, error 0.500", "ae keeps 87.5 %, error 0.250")),
        ("ArrowRight", 3, 2, ("pca at dim3 2 keeps 75.0 %, error 0.500", "ae keeps 91.7 %, error 0.167")),
        ("End", 12, 12, ("pca keeps 95.8 %, error 0.0833", "ae at dim3 6 keeps 95.8 %, error 0.0833")),
    ):
        page.keyboard.press(key)
        assert slider.get_attribute("aria-valuetext") == f"dim3 {dim3}"
        assert ("".join(pca.inner_text().split()), "".join(ae.inner_text().split())) == tuple(
            "".join(text.split()) for text in texts
        )
        assert np.median(grey(pca.locator(".strip").screenshot())) == 10 * of_pca
        assert np.median(grey(ae.locator(".strip").screenshot())) == 255

    # The plot: the numbers of a mark under the pointer, and of the next under the keys.
    tip, marks = page.locator(".tip"), page.locator(".chart .point")
    expect(tip).to_be_hidden()
    middle(page, marks.nth(1))
    expect(tip).to_contain_text("pca, dim3 4")
    expect(tip).to_contain_text("validation error 0.250")
    expect(tip).to_contain_text("variance kept 87.5 %")
    assert tip.get_by_role("link").get_attribute("href").startswith("http://127.0.0.1:5000/#/")  # type: ignore[union-attr]
    marks.nth(1).focus()
    page.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("pca, dim3 6")
    page.keyboard.press("ArrowDown")
    expect(tip).to_contain_text("ae, dim3 6")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "open its run"
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()

    # The purpose moves the choices, and says them.
    choices = "[...document.querySelectorAll('.star')].map(s => Number(s.dataset.choice))"
    assert page.evaluate(choices) == [6, 3]
    page.get_by_label("dim3 to").select_option("keep 80 % of the variance")
    assert page.evaluate(choices) == [4, 2]
    expect(page.locator("[data-live=c1-error] [aria-live]")).to_contain_text("pca: 4")
    page.get_by_role("group", name="Models").get_by_role("button", name="pca").click()
    assert page.evaluate(choices) == [2]

    # Axes: a logarithmic error has ticks at 1, 2, 5; a share has none.
    ticks = "[...document.querySelectorAll('.axis text')].map(t => t.textContent)"
    assert "0.15" in page.evaluate(ticks)
    page.get_by_label("logarithmic error").check()
    assert "0.1" in page.evaluate(ticks)
    assert "0.15" not in page.evaluate(ticks)
    page.get_by_label("Show").select_option("variance kept")
    assert "100 %" in page.evaluate(ticks)


@in_chromium
def test_a_reader_looks_at_the_same_row_in_all_latent_spaces(opened: Page) -> None:
    page, figure = opened, opened.locator("[data-live=c1-codes]")
    pca, ae = figure.locator(".cloud svg").all()
    said, picture = figure.locator(".marked"), figure.locator("canvas")

    def marked() -> list[tuple[str | None, str | None]]:
        return [(ring.get_attribute("cx"), ring.get_attribute("cy")) for ring in figure.locator(".ring").all()]

    pca.scroll_into_view_if_needed()
    middle(page, pca.locator("circle").nth(1))
    expect(said).to_contain_text("class 1, test row 1")
    assert marked() == [("1000", "0"), ("0", "1000")]
    assert np.median(grey(picture.screenshot())) == 50
    ae.locator("circle").nth(2).click()
    expect(said).to_contain_text("class 2, test row 2")
    assert marked() == [("0", "1000"), ("1000", "0")]
    ae.press("ArrowDown")
    expect(said).to_contain_text("class 4, test row 4")
    slider = figure.get_by_role("slider", name="dim3")
    slider.press("End")
    assert [cloud.inner_text() for cloud in figure.locator(".cloud p").all()] == [
        "pca\n100.0 % of the variance", "ae at dim3 6\n100.0 % of the variance",
    ]  # fmt: skip
    expect(said).to_contain_text("class 4, test row 4")  # it stays marked
    expect(figure.locator(".classes")).to_have_text("class01234")


@in_chromium
def test_a_reader_sorts_a_table_follows_a_link_and_prints(opened: Page) -> None:
    page = opened
    assert page.locator("details[open]").count() == 0
    page.get_by_role("link", name="All numbers").click()
    table = page.locator("#c1-numbers table").first
    expect(table).to_be_visible()
    seeds = table.locator("tbody tr td:nth-child(1)")
    head = table.get_by_role("columnheader", name="dim3")
    head.get_by_role("button").focus()
    for direction, order in (("ascending", range(2, 13, 2)), ("descending", range(12, 1, -2))):
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == direction
        assert seeds.all_inner_texts() == [str(k) for k in order]
    page.emulate_media(media="print")
    for shown, hidden in (("figure.pictures:not(.live)", ".live"), ("figure.error.plot", "input"), ("table", "select")):
        expect(page.locator(shown).first).to_be_visible()
        expect(page.locator(hidden).first).to_be_hidden()


@in_chromium
def test_a_report_is_whole_without_its_script(chromium: Browser, store: MlflowClient, tmp_path: Path) -> None:
    log_pictures(store, tmp_path / "arrays")
    path = report(tracking_uri=store.tracking_uri, experiment="e", out=tmp_path / "out", log=False).page
    for width in (DESK, PHONE):
        check(chromium, path, width, "dark", 4)
    with chromium.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(path.resolve().as_uri(), timeout=PATIENCE)
        for figure in ("error.plot", "equivalent", "pictures:not(.live)", "codes:not(.live)"):
            expect(page.locator(f"figure.{figure} > img")).to_be_visible()
        expect(page.locator(".live").first).to_be_hidden()


@in_chromium
@pytest.mark.parametrize("kind", ["a script", "an attribute", "a comment"])
def test_a_word_of_a_store_stays_a_word(chromium: Browser, kind: str, tmp_path: Path) -> None:
    """In the buttons, the numbers of a mark, the menu and the pictures; and only an address of the web is a link."""
    word = NAMES[kind]
    found, _ = hostile_findings(word)
    (comparison,) = found.comparisons
    rows = np.ones((2, 1))
    examples = Examples((1, 1), rows, {m.label: {2: rows} for m in comparison.models})
    points = {m.label: {2: Points(np.eye(2), 1.0)} for m in comparison.models}
    codes = Projections(None, None, points, [])
    live = views([comparison], {comparison.name: examples}, {comparison.name: codes}, lambda run_id: None, 10**6)
    for model in live["c1-error"]["models"]:
        for point in model["points"]:
            point["link"] = f"javascript:{word}"  # as no function of ours gives it
    figures = {comparison.name: {"error": PNG, "pictures": PNG, "codes": PNG}}
    path = tmp_path / "page.html"
    path.write_text(render(found, page_of(figures=figures, live=live, links=lambda run_id: None)), "utf-8")
    asked: list[str] = []
    with chromium.new_context(viewport={"width": PHONE, "height": 900}, has_touch=True) as context:
        page = context.new_page()
        page.on("request", lambda r: asked.append(r.url))
        page.on("dialog", lambda d: asked.append(d.message))
        page.goto(path.as_uri(), timeout=PATIENCE)
        label = live["c1-error"]["models"][0]["label"]
        expect(page.locator(".legend button").first).to_contain_text(label)
        expect(page.locator(".example").nth(1)).to_contain_text(label)
        expect(page.locator(".cloud").first).to_contain_text(label)
        page.locator(".cloud svg").first.tap()
        expect(page.locator(".marked")).to_have_text(re.compile("^test row [01]$"))
        page.locator(".chart .point").first.tap(force=True)  # marks of other models lie over it
        expect(page.locator(".tip")).to_contain_text(f"{label}, dim3 2")
        assert page.locator(".tip a").count() == 0
        assert page.locator("script").count() == 2
        assert page.locator("[onerror], [onload], base").count() == 0
    assert [url for url in asked if not url.startswith("data:image/png;base64,")] == [path.as_uri()]


def middle(page: Page, mark: Locator) -> None:
    """Move the pointer to the middle of a mark."""
    box = mark.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


@pytest.mark.timeout(1200)
@pytest.mark.browser
@pytest.mark.slow
def test_a_place_on_a_latent_plane_shows_its_picture_of_each_run(chromium: Browser, browsed: Browsed) -> None:
    with chromium.new_context(viewport={"width": DESK, "height": 900}) as context:
        page = context.new_page()
        page.goto((browsed.folder / "reports" / "assignment.html").resolve().as_uri(), timeout=PATIENCE)
        group = page.locator("[data-planes]").first
        planes = [json.loads(p.get_attribute("data-tiles") or "") for p in group.locator("[data-tiles]").all()]
        chosen, captions = group.locator(".chosen"), group.locator(".chosen figcaption")
        assert [plane["name"] for plane in planes] == ["seed 0", "seed 1"]
        assert not chosen.is_visible()

        def shown() -> list[list[float]]:
            texts = [caption.split("(")[1].rstrip(")").replace("−", "-") for caption in captions.all_inner_texts()]
            return [[float(number) for number in text.split(", ")] for text in texts]

        def at(column: int, row: int) -> list[Any]:
            return [pytest.approx([p["ticks"][0][column], p["ticks"][1][14 - row]], rel=0.06) for p in planes]

        second = group.locator("[data-tiles]").nth(1)
        size = second.bounding_box()
        second.click(position={"x": size["width"] * 2.5 / 15, "y": size["height"] * 4.5 / 15})  # type: ignore[index]
        assert shown() == at(2, 4)
        second.press("ArrowLeft")
        second.press("ArrowUp")
        assert shown() == at(1, 3)
        drawn = chosen.locator("canvas").evaluate_all("all => all.map(c => [c.width, c.height, c.toDataURL()])")
        assert [d[:2] for d in drawn] == [[8, 8]] * 2
        assert drawn[0][2] != drawn[1][2]
        group.locator(".pick").first.click(position={"x": 100, "y": 100})
        assert shown() != at(1, 3)


@pytest.mark.timeout(1200)
@pytest.mark.browser
@pytest.mark.slow
def test_the_assignment_has_the_reconstructions_and_codes_of_each_dim3(chromium: Browser, browsed: Browsed) -> None:
    digits = load_dataset("digits")
    with chromium.new_context(viewport={"width": PHONE, "height": 900}, has_touch=True) as context:
        page = context.new_page()
        page.goto((browsed.folder / "reports" / "assignment.html").resolve().as_uri(), timeout=PATIENCE)
        figure = page.locator("[data-live=c1-pictures]")
        expect(page.locator("[data-replaced-by=c1-pictures]")).to_be_hidden()
        expect(figure).to_contain_text("Reconstructions: digits, 40 epochs")
        slider, ae = figure.get_by_role("slider", name="dim3"), figure.locator(".example", has_text="ae").first
        shares = []
        for key in ("Home", "End"):
            slider.press(key)
            shares.append(float(re.findall(r"keeps ([\d.]+) %", ae.inner_text())[0]))
        assert slider.get_attribute("aria-valuetext") == "dim3 12"
        assert shares[0] + 10 < shares[1] < 100
        codes = page.locator("[data-live=c1-codes]")
        codes.locator(".cloud svg").first.tap()
        row = int(codes.locator(".marked").inner_text().rpartition(" ")[2])
        expect(codes.locator(".marked")).to_contain_text(f"class {digits.y_test[row]}, test row {row}")
        drawn = codes.locator("canvas").evaluate("c => [...c.getContext('2d').getImageData(0, 0, 8, 8).data]")
        assert np.array_equal(drawn[::4], (255 * digits.x_test[row]).round())


def check(chromium: Browser, path: Path, width: int, scheme: Scheme, images: int) -> None:
    """A page loads nothing, says nothing, fits its window, and each of its texts can be read."""
    address = path.resolve().as_uri()
    asked: list[str] = []
    said: list[str] = []
    with chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        page = context.new_page()
        page.on("request", lambda r: asked.append(r.url))
        page.on("console", lambda m: said.append(m.text))
        page.on("pageerror", lambda e: said.append(str(e)))
        page.goto(address, timeout=PATIENCE)
        assert (np.median(grey(page.screenshot())) < 50) == (scheme == "dark")
        whole = path.name == "assignment.html"
        drawn = grey(page.locator("img" if whole else "figure > img >> visible=true").first.screenshot())
        inverted = scheme == "dark" and (whole or page.locator(".plot").count() > 0)  # figures are drawn for white
        if whole:  # on a transparent ground
            assert (np.median(drawn) < 50) == inverted
        else:
            assert (np.median(drawn) < 50) if inverted else (np.median(drawn) == 255)

        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        natural = np.array(page.evaluate("[...document.querySelectorAll('figure img')].map(i => i.naturalWidth)"))
        assert len(natural) >= images
        assert natural.min() > 0
        # Those with letters.
        drawn = "[...document.querySelectorAll('figure img')].filter(i => !i.closest('.tiles, .live, .replaced'))"
        natural, shown = np.array(page.evaluate(f"{drawn}.map(i => [i.naturalWidth, i.clientWidth])")).T
        # Letters have the size they were drawn in, and in a narrow figure are not blown up.
        assert (shown / natural).max() == pytest.approx(96 / 160, abs=0.01) or width == PHONE
        if path.name == "assignment.html":  # letters of 8 points have 9 pixels at least, 9.8 in a panel
            scrolled = f"{drawn}.filter(i => i.closest('.scroll'))"
            scale = np.array(page.evaluate(f"{scrolled}.map(i => i.clientWidth / i.naturalWidth)")) * 160 / 96
            assert (scale * 8 * 96 / 72).min() >= 9
            assert ((shown / natural).min() * 160 / 96) * 9.8 * 96 / 72 >= 9
            tiles = page.evaluate(
                "[...document.querySelectorAll('.tiles img')].map(i => i.clientWidth / i.naturalWidth)"
            )
            assert width == PHONE or np.allclose(tiles, np.round(tiles))  # whole pixels
        outside = "[...document.images].filter(i => !i.closest('.scroll')).map(i => i.getBoundingClientRect().right)"
        assert max(page.evaluate(outside), default=0) <= width

        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = page.evaluate("[...document.querySelectorAll('.scroll')].map(b => [b.scrollWidth, b.clientWidth])")
        assert any(inside > box for inside, box in boxes) or width == DESK  # on a phone a table scrolls in its own box

        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 100
        assert [found for found in contrasts if found[0] < LEAST_CONTRAST] == []
    assert said == []
    assert [url for url in asked if not url.startswith("data:image/png;base64,")] == [address]


def grey(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"))
