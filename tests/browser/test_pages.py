"""The two pages from disk: they load nothing, and are legible on a phone and in the dark."""

import io
import shutil
from pathlib import Path
from typing import Literal

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
        assert np.median(grey(page.locator("img").first.screenshot())) == 255  # figures are drawn for white

        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        natural = np.array(page.evaluate("[...document.images].map(i => i.naturalWidth)"))
        assert len(natural) >= images
        assert natural.min() > 0
        shown = np.array(page.evaluate("[...document.images].map(i => i.clientWidth)"))
        # Letters have the size they were drawn in, and in a narrow figure are not blown up.
        assert (shown / natural).max() == pytest.approx(96 / 160, abs=0.01) or width == PHONE
        assert max(page.evaluate("[...document.images].map(i => i.getBoundingClientRect().right)")) <= width

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
