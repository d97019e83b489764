"""Pictures of the pages that ``mlcore page`` writes, to look at: python tests/web/screenshots.py FOLDER [MODEL]

At three widths, light and dark, of a network by hand (also with answers) and of a model; needs Playwright and Chromium.
"""

import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

TEXT = "A warm, FUNNY film &ndash; not <b>dull</b> at all! Unseeen words, too."


def answered(page: Page) -> None:
    page.check("[value=asked]")
    for key, answer in {"z.0.0.0": "2", "a.0.0.1": "-1", "delta.0.1.0": "-1", "d.w.6": "abc"}.items():
        page.fill(f"[data-answer='{key}']", answer)


def main(folder: Path, *models: str) -> None:
    folder.mkdir(exist_ok=True)
    pages = {"sheet": ((), lambda page: page.focus("[name='w.6']")), "answers": ((), answered)}
    pages |= {"model": (models, lambda page: page.fill("#text", TEXT))} if models else {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for (name, (arguments, act)), width, scheme in product(pages.items(), (390, 820, 1400), ("light", "dark")):
            file = folder / f"{name}.html"
            subprocess.run([sys.executable, "-m", "mlcore", "page", *arguments, "-o", file], check=True)
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page.goto(file.resolve().as_uri())
            act(page)
            page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
