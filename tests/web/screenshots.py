"""Pictures of all pages, to look at: python tests/web/screenshots.py FOLDER MODEL DATA

A network by hand (also with answers), a classifier, its report on DATA and an explanation, at three widths, light and
dark; ``.readme`` has those of 820 pixels, light. Needs Playwright and Chromium.
"""

import base64
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

TEXT = "A warm, FUNNY film &ndash; not <b>dull</b> at all! Unseeen words, too."
HIGHEST = 2400  # pixels of a picture


def answered(page: Page) -> None:
    page.check("[value=asked]")
    for key, answer in {"z.0.0.0": "2", "a.0.0.1": "-1", "delta.0.1.0": "-1", "d.w.6": "abc"}.items():
        page.fill(f"[data-answer='{key}']", answer)


def main(folder: Path, model: str, data: str) -> None:
    folder.mkdir(exist_ok=True)
    pages = {
        "sheet": (["page", "-o"], lambda page: page.focus("[name='w.6']")),
        "answers": (["page", "-o"], answered),
        "classifier": (["page", model, "-o"], lambda page: page.fill("#text", TEXT)),
        "report": (["report", model, data, "-o"], lambda page: None),
        "explanation": (["explain", model, TEXT, "--html"], lambda page: None),
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (command, act) in pages.items():
            file = folder / f"{name}.html"
            subprocess.run([sys.executable, "-m", "mlcore", *command, file], check=True, stdout=subprocess.DEVNULL)
            for width, scheme in product((390, 820, 1400), ("light", "dark")):
                page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                page.goto(file.resolve().as_uri())
                act(page)
                height = min(page.evaluate("document.documentElement.scrollHeight"), HIGHEST)
                clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
                settings = {"format": "webp", "quality": 80, "clip": clip, "captureBeyondViewport": True}
                picture = page.context.new_cdp_session(page).send("Page.captureScreenshot", settings)
                (folder / f"{name}-{width}-{scheme}.webp").write_bytes(base64.b64decode(picture["data"]))
                page.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
