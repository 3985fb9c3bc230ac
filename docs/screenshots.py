"""Make the pictures of docs/seeing.md: a report and a feature view of a lung CT pair, in Chromium.

Run by `make screenshots`. The images are of elastix's test data (Apache-2.0).
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

import impact_plugin
from impact_plugin import datasets


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a headless browser.

    Raises:
        SystemExit: There is none.
    """
    names = (os.environ.get("IMPACT_BROWSER", ""), "chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, filter(None, names))), None)
    if found is None:
        sys.exit("no Chromium: apt-get install chromium, or set IMPACT_BROWSER to one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def save(png: bytes, path: Path) -> None:
    """Write a screenshot as a small WebP file."""
    Image.open(io.BytesIO(png)).convert("RGB").save(path, "WEBP", quality=80, method=6)
    print(f"{path}  {path.stat().st_size / 1000:.0f} kB")


def show_report(browser: Any, page_file: Path, out: Path) -> None:  # noqa: ANN401
    """Take the report's head, its planes in several ways, its curves, and a phone's view."""
    page = browser.new_page(viewport={"width": 1000, "height": 760})
    page.goto(page_file.as_uri())
    page.wait_for_selector("#canvas-2[data-shown]")
    save(page.screenshot(), out / "report.webp")
    for mode, step, name in (
        ("colours", "step 0", "before"),
        ("colours", "step 2", "after"),
        ("checkerboard", "step 2", "checkerboard"),
        ("difference", "step 2", "difference"),
        ("determinant", "step 2", "determinant"),
        ("grid", "step 2", "grid"),
    ):
        page.select_option("#mode", mode)
        if page.is_visible("#step"):
            page.select_option("#step", step)
        page.wait_for_selector(f'#canvas-2[data-shown^="{mode} {step} "]')
        save(page.locator(".planes").screenshot(), out / f"report-{name}.webp")
    save(page.locator("#course ~ figure").first.screenshot(), out / "report-curves.webp")
    page.set_viewport_size({"width": 400, "height": 800})
    page.evaluate("() => scrollTo(0, 0)")
    save(page.screenshot(), out / "report-phone.webp")


def show_features(browser: Any, page_file: Path, out: Path, name: str) -> None:  # noqa: ANN401
    """Take the features in colours, the scans, their table and the single channels."""
    page = browser.new_page(viewport={"width": 1000, "height": 760})
    page.goto(page_file.as_uri())
    page.wait_for_selector("#canvas-1-moving[data-shown]")
    save(page.locator(".planes").nth(1).screenshot(), out / f"features-{name}.webp")
    save(page.locator("#sharpness ~ figure").first.screenshot(), out / f"features-{name}-scan.webp")
    save(page.locator("#table").screenshot(), out / f"features-{name}-table.webp")
    save(page.locator("#channels ~ figure").first.screenshot(), out / f"features-{name}-all.webp")


def main() -> None:
    """Register the pair, look at its features, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="elastix's folder Testing")
    parser.add_argument("out", type=Path, help="folder for the pictures")
    arguments = parser.parse_args()
    data, out = datasets.lung_pair(arguments.data), arguments.out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="impact-plugin-") as temporary:
        folder = Path(temporary)
        result = impact_plugin.register_images(
            data.fixed, data.moving, preset="mind", initial_transform=data.initial_transform
        )
        report = result.report(
            folder / "report.html",
            fixed_points=data.fixed_points,
            moving_points=data.moving_points,
            window=(-1150, 350),
        )
        with chromium() as browser:
            show_report(browser, report, out)
            for name, model, voxel in (
                ("m730", data.model, 3),
                ("mind", impact_plugin.models.mind(path=folder), 3),
            ):
                view = impact_plugin.view_features(
                    data.fixed,
                    model,
                    folder / name,
                    moving=data.moving,
                    initial_transform=result,
                    voxel_size=voxel,
                    scan_range=20,
                )
                show_features(browser, view.page, out, name)


if __name__ == "__main__":
    main()
