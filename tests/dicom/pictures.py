"""Make the pictures of docs/pacs.md: `python -m tests.dicom.pictures` (needs Orthanc, OHIF and Chromium).

A synthetic patient is sent to an Orthanc, outlined by the network that is shipped, and its results stored beside it.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from lgg_demo.experiments.dicom_study import write_study
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.output.dicom import DicomChoice
from lgg_demo.predict import predict
from lgg_demo.reading import Request
from tests.dicom.ohif import Viewer, fetch, served
from tests.orthanc import Orthanc

DOCS = Path(__file__).resolve().parents[2] / "docs"
IN_OHIF, IN_ORTHANC = "pacs-ohif.webp", "pacs-orthanc.webp"
WIDTH, HEIGHT, TALL = 1440, 900, 1240  # pixels; TALL: a list of seven series
SECOND = '[data-cy="viewport-pane"] >> nth=1'
# Show beside the first viewport a second one; bring the first to the slice that the second one shows.
SPLIT = "commandsManager.runCommand('setViewportGridLayout', { numRows: 1, numCols: 2 })"
ALIKE = """() => { const [first, second] = cornerstone.getEnabledElements().map(({ viewport }) => viewport);
  return first.setImageIdIndex(second.getCurrentImageIdIndex()); }"""


def save(page: Any, name: str) -> None:
    page.wait_for_timeout(2000)  # all of it is drawn
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    smaller = picture.resize((picture.width * 3 // 4, picture.height * 3 // 4), Image.Resampling.LANCZOS)
    smaller.save(DOCS / name, quality=80, method=6)


def store(orthanc: Orthanc, folder: Path) -> str:
    """Send a study and what is written of it; its StudyInstanceUID."""
    study = write_study("growing", 1, folder / "images")
    segmenter = Segmenter.load()
    request = Request((folder / "images",), keep_patient=True)
    predict(request, folder / "results", segmenter, segmenter.threshold, choice=DicomChoice())
    orthanc.upload(sorted(folder.rglob("*.dcm")))
    return study


def picture_ohif(page: Any, address: str, study: str) -> None:
    """The outline on the left, the measurements on the right."""
    viewer = Viewer(page, address, study)
    viewer.segmentation("FLAIR abnormality")
    page.evaluate(SPLIT)
    page.click(SECOND)
    viewer.measurements("Measurements")
    page.evaluate(ALIKE)
    save(page, IN_OHIF)


def main() -> None:
    fetch()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        orthanc = Orthanc(Path(folder) / "orthanc", Name="Orthanc")
        chromium = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = chromium.new_page(locale="en-US", viewport={"width": WIDTH, "height": HEIGHT})
        orthanc.start()
        try:
            study = store(orthanc, Path(folder))
            page.set_viewport_size({"width": WIDTH, "height": TALL})
            page.goto(f"{orthanc.url}/app/explorer.html#study?uuid={orthanc.studies()[0]['ID']}")
            save(page, IN_ORTHANC)
            page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
            with served(orthanc.url) as address:
                picture_ohif(page, address, study)
        finally:
            orthanc.kill()


if __name__ == "__main__":
    main()
