"""The synthetic patients: what they are, that the network finds them, and that sessions share them and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from conftest import needs_browser
from driver import do, download, drag, give, give_drawn, middle, settle, shown, wait_for_result, watched
from loopback import until
from scipy import ndimage
from serving import Drawn

from lgg_demo.messages import say
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.page.blocks import build
from lgg_demo.page.handlers import Page
from lgg_demo.page.patients import FACTS, PATIENTS, files_of
from lgg_demo.page.server import launch_page
from lgg_demo.page.session import Memory
from lgg_demo.page.showcase import FIRST, Showcase
from lgg_demo.probability import binarise

NAME = "document.querySelector('#viewer .lgg-name').textContent"


class Counted(Segmenter):
    """The shipped network, and how many scans it has seen."""

    scans = 0

    def segment(self, *arguments: Any, **options: Any) -> np.ndarray:
        self.scans += 1
        return super().segment(*arguments, **options)


@pytest.fixture(scope="module")
def exhibited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page with its synthetic patients as it is served, all of them segmented."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        network = Counted.load()
        page = Page(network)
        showcase = Showcase(page)
        demo = build(page, showcase)
        showcase.start()
        url = launch_page(demo, prevent_thread_lock=True, quiet=True)[1]
        assert until(lambda: len(showcase.made) == len(PATIENTS), 600)
        yield SimpleNamespace(network=network, showcase=showcase, url=url)
        demo.close()
        showcase.end()


# What they are


def test_each_volume_says_that_it_is_synthetic_and_masks_are_as_large_as_told() -> None:
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    assert list(facts) == list(PATIENTS) and [len(visits) for visits in facts.values()] == [2, 1, 1]
    for patient, visits in facts.items():
        files = files_of(patient)
        assert all("synthetic" in f.name and b"synthetic" in bytes(nibabel.load(f).header["descrip"]) for f in files)
        for number, visit in enumerate(visits, 1):
            masks = [f for f in files if f"ses-{number}_label-lesion_mask" in f.name]
            assert bool(masks) == bool(visit["lesions"])
            for mask in masks:
                image = nibabel.load(mask)
                lesion = np.asarray(image.dataobj) > 0
                assert ndimage.label(lesion)[1] == visit["lesions"]
                assert lesion.sum() * np.prod(image.header.get_zooms()) / 1000 == pytest.approx(visit["volume_ml"])
    first, second = facts[FIRST]
    assert second["volume_ml"] > 1.2 * first["volume_ml"] and second["months"] > 0


def test_no_other_name_is_a_path() -> None:
    with pytest.raises(ValueError):
        files_of("../patients/healthy")


def test_the_network_finds_each_lesion_and_nothing_in_the_healthy_one(exhibited: Any) -> None:
    for patient in PATIENTS:
        for result in exhibited.showcase.made[patient].results:
            found, voxel_ml = binarise(result.probability, 0.5), 0.005
            if patient == "healthy":
                assert result.reference is None and found.sum() * voxel_ml < 0.2
                continue
            lesions, count = ndimage.label(result.reference)
            near = ndimage.distance_transform_edt(lesions == 0, (5, 1, 1), return_indices=True)[1]
            nearest = lesions[tuple(near)]  # every pixel belongs to the lesion it lies next to
            for n in range(1, count + 1):
                mine, true = found & (nearest == n), lesions == n
                assert 2 * (mine & true).sum() / (mine.sum() + true.sum()) >= 0.9


def test_the_first_screen_knows_how_the_visits_lie_to_each_other(exhibited: Any) -> None:
    """Precomputed with it, so that who comes waits for nothing."""
    registration = exhibited.showcase.made["growing"].registered[0, 1]
    assert registration.good and registration.head_overlap > 0.94
    _, value, *_ = exhibited.showcase.on_first(None, 0.5, "fr")
    (one,) = value["follow_up"]
    assert [v["months"] for v in one["visits"]] == [0, 9] and len(one["visits"][1]["to"]) == 16 and not one["warnings"]


# Sessions


def test_a_patient_is_segmented_once_and_each_session_gets_its_own() -> None:
    network = Drawn()
    page = Page(network)  # type: ignore[arg-type]
    showcase = Showcase(page)
    (one, value, _, held), (other, again, *_) = (showcase.on_patient("growing", None, 0.5, "en") for _ in range(2))
    assert network.slices == 48 and value["synthetic"] and value["cases"] == again["cases"] and value["id"] != again["id"]
    assert one.results[0].probability is other.results[0].probability
    for array in one.kept.arrays:
        with pytest.raises(ValueError):
            array[...] = 0
    assert one.kept.size == 0, "what is shared is no session's, and makes no user's result go"
    # Another ground truth, then another choice of sequences: of one session alone.
    before = other.results[0].reference.copy()
    upload = page.folder.uploads / ("a" * 64) / "sub-synthetic1_ses-1_mask.nii.gz"
    upload.parent.mkdir()
    mask = nibabel.load(next(f for f in files_of("growing") if "ses-1_label" in f.name))
    nibabel.save(nibabel.Nifti1Image(np.roll(np.asarray(mask.dataobj), 20, 0), mask.affine), upload)
    mine, _, _ = page.on_reference([str(upload)], one, 0.5, "en")
    assert not np.array_equal(mine.results[0].reference, before) and mine.kept.size > 0
    assert np.array_equal(other.results[0].reference, before)
    assert np.array_equal(showcase.made["growing"].results[0].reference, before)
    choice = {"study": 0, "series": other.studies[0].chosen["post"], "role": ""}
    *_, (chosen, view, _, same, _) = page.on_choose(json.dumps(choice), other, held, 0.5, "en")
    assert view["synthetic"] and same is held and not chosen.studies[0].chosen.get("post")
    assert files_of("growing")[0].exists(), "what lies in the package is nobody's to delete"
    assert showcase.on_patient("growing", held, 0.5, "en")[0].studies[0].chosen["post"]


def test_many_sessions_with_a_synthetic_patient_leave_a_users_result_alone() -> None:
    network = Drawn()
    page = Page(network)  # type: ignore[arg-type]
    page.memory = Memory(most=8_000_000)
    showcase = Showcase(page)
    mine = showcase.on_patient("healthy", None, 0.5, "en")[0]
    assert not mine.kept.dropped
    private = type(mine.kept)(mine.results, mine.kept.pictures)
    page.memory.used(private)
    sessions = [showcase.on_patient("healthy", None, 0.5, "en")[0] for _ in range(10)]
    assert not private.dropped and not any(s.kept.dropped for s in sessions)


def test_the_first_one_never_takes_the_place_of_what_was_opened_meanwhile() -> None:
    showcase = Showcase(Page(Drawn()))  # type: ignore[arg-type]
    skipped = showcase.on_first(None, 0.5, "en")
    assert len(skipped) == 4 and all(v.get("__type__") == "update" for v in skipped), "there is none yet"
    session = showcase.on_patient("healthy", None, 0.5, "en")[0]
    showcase.on_patient(FIRST, None, 0.5, "en")
    assert showcase.on_first(session, 0.5, "en") == skipped
    opened = showcase.on_first(None, 0.5, "en")
    assert opened[0].results and opened[1]["synthetic"]


def test_what_fails_at_the_start_is_tried_again_at_a_click(capsys: pytest.CaptureFixture[str]) -> None:
    page = Page(Drawn())  # type: ignore[arg-type]
    showcase = Showcase(page)
    run, page.run = page.run, None  # type: ignore[assignment,method-assign]
    showcase.start()
    while showcase.first_is_awaited:
        time.sleep(0.01)
    showcase.end()
    assert not showcase.made
    assert "synthetic patient: TypeError" in capsys.readouterr().err
    page.run = run  # type: ignore[method-assign]
    assert showcase.on_patient("healthy", None, 0.5, "en")[0].results


# On the page


@needs_browser
@pytest.mark.browser
def test_who_comes_sees_a_patient_outlined_and_nobody_sees_anothers_correction(browser: Any, exhibited: Any) -> None:
    scans = exhibited.network.scans
    pages = [watched(browser.new_context(locale="en-US", viewport={"width": 1440, "height": 900})) for _ in range(2)]
    for page in pages:
        page.goto(exhibited.url)
        wait_for_result(page)
        assert "synthetic1" in page.evaluate(NAME) and page.is_visible("#viewer .lgg-synthetic")
        assert page.inner_text("#viewer .lgg-synthetic") == say("synthetic", "en")
        assert shown(page, "dice", "all") > 0.9
    assert exhibited.network.scans == scans, "the network has run before anyone came"
    mine, other = pages
    for page in (mine, other):  # a stroke in one of them
        do(page, "brush")
    drag(mine, middle(mine, "prediction", 0.7, 0.6), (20, 0))
    settle(mine)
    assert shown(mine, "corrected", "all") > 0
    assert other.locator('#viewer [data-figure="corrected"]').count() == 0 or shown(other, "corrected", "all") == 0
    names = {page: download(page).namelist() for page in pages}
    assert any("corrected" in n for n in names[mine]) and not any("corrected" in n for n in names[other])
    late = watched(browser.new_context(locale="en-US"))
    late.goto(exhibited.url)
    wait_for_result(late)
    assert shown(late, "predicted", "all") == shown(other, "predicted", "all")
    for page in (*pages, late):
        assert page.errors == []
        page.context.close()


@needs_browser
@pytest.mark.browser
def test_the_healthy_one_an_upload_and_a_reload(browser: Any, exhibited: Any, tmp_path: Path) -> None:
    page = watched(browser.new_context(locale="en-US", viewport={"width": 1440, "height": 900}))
    page.goto(exhibited.url)
    wait_for_result(page)
    page.click('[data-patient="patient_healthy"]')
    page.wait_for_function(f"{NAME}.includes('synthetic3')")
    assert page.inner_text("#viewer .lgg-headline") == say("nothing_found", "en", threshold="0.50")
    assert "12 /" in page.inner_text("#viewer .lgg-steps output").replace("13 /", "12 /"), "opens in the middle"
    page.click('[data-patient="patient_two_lesions"]')
    page.wait_for_function(f"{NAME}.includes('synthetic2')")
    give_drawn(page, "phantom_single")  # a user's own replaces it
    page.wait_for_function(f"{NAME}.includes('phantom_single')", timeout=60_000)
    assert page.is_hidden("#viewer .lgg-synthetic")
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0" + bytes(40))
    give(page, "scan", [broken])
    page.wait_for_selector("#viewer .lgg-messages li.problem")
    page.reload()
    wait_for_result(page)
    assert "synthetic1" in page.evaluate(NAME)
    assert page.errors == []
    page.context.close()


@needs_browser
@pytest.mark.browser
def test_the_page_answers_before_the_first_patient_is_there(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    network = Drawn()
    network.seconds = 0.2  # a slice: ten seconds for the first patient
    page = Page(network)  # type: ignore[arg-type]
    showcase = Showcase(page)
    demo = build(page, showcase)
    showcase.start()
    url = launch_page(demo, prevent_thread_lock=True, quiet=True)[1]
    tab = watched(browser.new_context(locale="fr-FR", viewport={"width": 1440, "height": 900}))
    tab.goto(url)
    tab.wait_for_selector("#viewer .lgg-empty", state="visible")
    assert showcase.first_is_awaited
    tab.wait_for_function(f"{NAME}.includes('synthetic1')", timeout=60_000)
    assert tab.inner_text("#viewer .lgg-synthetic") == say("synthetic", "fr")
    network.seconds = 5.0
    demo.close()
    showcase.end()  # in the middle of another patient, without waiting for all of it
    assert tab.errors == []
    tab.context.close()
