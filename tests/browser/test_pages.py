"""The two pages from disk: they load nothing, and are legible on a phone and in the dark."""

import io
import json
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image
from playwright.sync_api import Browser

from elbowroom.analysis.reporting import report
from tests.analysis.example_runs import log
from tests.browser.conftest import PATIENCE, Browsed

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
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.innerText.slice(0, 60)];
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
        figure = np.median(grey(page.locator("img").first.screenshot()))
        assert figure == 255 if path.name == "report.html" else (figure < 50) == (scheme == "dark")

        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        natural = np.array(page.evaluate("[...document.images].map(i => i.naturalWidth)"))
        assert len(natural) >= images
        assert natural.min() > 0
        drawn = "[...document.images].filter(i => !i.closest('.tiles'))"  # with letters
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
