"""The API and the handlers behind the page: what they answer, what they keep, and what they delete."""

from __future__ import annotations

import html
import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from drawn_heads import draw_head, write_phantom
from driver import served, shipped, slices, uploads_left, url
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from loopback import until
from nifti_files import nifti, turned
from PIL import Image
from serving import Drawn

from lgg_demo.messages import say
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.page.faults import NotOurs
from lgg_demo.page.gradio_patches import KEEP_SECONDS
from lgg_demo.page.handlers import Page
from lgg_demo.page.session import Session
from lgg_demo.page.showcase import Showcase
from lgg_demo.page.uploads import FilesGone, UploadFolder
from lgg_demo.predict import predict
from lgg_demo.reading.studies import Request, read_all

__all__ = ["served", "shipped", "slices", "url"]  # fixtures


def test_segment_equals_predict(
    url: str, shipped: Segmenter, slices: tuple[list[Path], list[Path]], tmp_path: Path
) -> None:
    images, masks = slices
    report, files = Client(url, verbose=False).predict(
        [handle_file(p) for p in images], [handle_file(p) for p in masks], 0.4, api_name="/segment"
    )
    assert predict(Request(tuple(images), tuple(masks)), tmp_path / "out", shipped, 0.4) == ([], [])
    of_predict = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert of_predict.pop("written") == sorted(p.name for p in (tmp_path / "out").iterdir())
    assert report == of_predict
    assert report["total"]["dice"] > 0.8
    assert [Path(f).name for f in files] == ["case_1_mask.png", "case_2_mask.png", "case_3_mask.png"]
    for file in files:
        served, written = np.asarray(Image.open(file)), np.asarray(Image.open(tmp_path / "out" / Path(file).name))
        assert np.array_equal(served, written)
        assert set(np.unique(served)) <= {0, 255}
    assert uploads_left() == []


def test_the_server_keeps_nothing_of_a_call(served: tuple[str, Any], slices: tuple[list[Path], list[Path]]) -> None:
    """Gradio would keep what every component was given and showed last, and sessions until ten thousand have followed."""
    url, demo = served
    report, _ = Client(url, verbose=False).predict([handle_file(p) for p in slices[0]], None, 0.5, api_name="/segment")
    assert "case_1" in json.dumps(report)
    sessions = demo.app.state_holder
    kept = [(session.config_values, session.state_data) for session in sessions.session_data.values()]
    assert kept and "case_1" not in repr(kept)
    last = max(sessions.time_last_used, key=lambda session: sessions.time_last_used[session])
    sessions.delete_all_expired_state()
    assert last in sessions.session_data
    sessions.time_last_used[last] -= timedelta(seconds=KEEP_SECONDS + 60)
    sessions.delete_all_expired_state()
    assert last not in sessions.session_data and last not in sessions.time_last_used


def test_one_network_runs_at_a_time(served: tuple[str, Any]) -> None:
    fns = {fn.name: fn for fn in served[1].fns.values() if fn.fn is not None}
    together = {name for name, fn in fns.items() if fn.concurrency_id == "network" and fn.concurrency_limit == 1}
    assert together == {"on_scan", "on_reference", "on_choose", "on_visits", "on_patient", "segment"}


def test_two_clients_with_the_same_picture(url: str, slices: tuple[list[Path], list[Path]]) -> None:
    """The same bytes from two users, both uploaded before either is served: each gets an answer."""
    clients = [Client(url, verbose=False) for _ in range(2)]
    image = slices[0][1]
    waiting = [c.submit([handle_file(image)], None, 0.5, api_name="/segment") for c in clients for _ in range(3)]
    reports = [job.result()[0] for job in waiting]
    assert all(r == reports[0] and r["images"][0]["predicted_pixels"] > 0 for r in reports)


@pytest.mark.parametrize(
    ("language", "key", "content"), [("en", "not_an_image", b"not a picture"), ("fr", "empty_file", b"")]
)
def test_a_wrong_file_gets_a_sentence_and_the_server_goes_on(
    url: str, slices: tuple[list[Path], list[Path]], tmp_path: Path, language: Any, key: str, content: bytes
) -> None:
    wrong = tmp_path / "notes.png"
    wrong.write_bytes(content)
    client = Client(url, verbose=False, headers={"Accept-Language": f"{language}-XX,{language};q=0.9"})
    with pytest.raises(AppError) as error:
        client.predict([handle_file(wrong)], None, 0.5, api_name="/segment")
    assert str(error.value) == say(key, language, file="notes.png")
    report, files = client.predict([handle_file(wrong), handle_file(slices[0][0])], None, 0.5, api_name="/segment")
    assert [u["file"] for u in report["unreadable"]] == ["notes.png"] and len(files) == 1


def test_the_api_is_one_endpoint_without_telemetry(url: str) -> None:
    described = Client(url, verbose=False).view_api(return_format="dict")
    assert list(described["named_endpoints"]) == ["/segment"]
    names = [p["parameter_name"] for p in described["named_endpoints"]["/segment"]["parameters"]]
    assert names == ["scan", "reference", "threshold"]
    config = httpx.get(f"{url}config").json()
    assert config["analytics_enabled"] is False and not config.get("run_history")


# Uploads in the hands of the page


@pytest.fixture
def folder(tmp_path: Path) -> UploadFolder:
    return UploadFolder(tmp_path / "server")


def uploaded(folder: UploadFolder, files: list[Path]) -> list[str]:
    """Files as they lie once they were uploaded."""
    paths = []
    for file in files:
        with folder.receiving("me"):
            paths.append(str(folder.keep(Path(shutil.copy(file, folder.uploads / "arriving")), file.name, "me")))
    return paths


def test_uploads_of_one_name_and_their_end(folder: UploadFolder, tmp_path: Path) -> None:
    files = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        for name in ("1", "2"):
            files.append(write_phantom(tmp_path, name, draw_head(1))[0].rename(tmp_path / place / name))
    given = uploaded(folder, files)
    uploads = folder.take(given)
    assert [p.name for p in uploads.paths] == ["1", "2", "1", "2"] and all(p.is_file() for p in uploads.paths)
    assert not any(Path(p).parent.exists() for p in given)
    assert uploads.paths[0].parent == uploads.paths[1].parent != uploads.paths[2].parent == uploads.paths[3].parent
    with uploads.reading() as paths:
        assert paths == uploads.paths
    uploads.delete_after(0.05)
    assert until(lambda: not any(p.exists() for p in uploads.paths))
    with pytest.raises(FilesGone), uploads.reading():
        pass


def test_what_has_no_namesake_lies_beside_none(folder: UploadFolder, tmp_path: Path) -> None:
    """Of two patients' folders the page knows the files alone: what only one of them has may be either's."""
    files = []
    for name in ("ann/flair.nii", "bob/flair.nii", "bob/seg.nii", "bob/t1.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        nifti(tmp_path / name, *turned("LPS"))
        files.append(tmp_path / name)
    with folder.take(uploaded(folder, files)).reading() as paths:
        cases = read_all(Request(tuple(paths))).cases
    assert {c.scan.name: c.reference is None for c in cases} == {"flair": True, "flair (2)": True}


def test_masks_of_one_name_are_not_matched_by_their_order(folder: UploadFolder, tmp_path: Path) -> None:
    (image,) = write_phantom(tmp_path, "s", draw_head(1, lesion="frontal"))
    mask = tmp_path / "s_mask.png"
    boxes: dict[str, list[Path]] = {"scan": [], "reference": []}
    for box, file in (("scan", image), ("reference", mask)):
        for patient in ("ann", "bob"):
            (tmp_path / box / patient).mkdir(parents=True)
            boxes[box].append(Path(shutil.copy(file, tmp_path / box / patient)))
    scan, reference = (folder.take(uploaded(folder, files)) for files in (boxes["scan"], boxes["reference"][::-1]))
    read = read_all(Request(tuple(scan.paths), tuple(reference.paths)))
    assert len(read.cases) == 2 and all(c.reference is None for c in read.cases)
    assert [p.sentence.key for p in read.errors] == ["mask_unmatched"] * 2


def test_an_upload_whose_turn_comes_too_late_is_to_be_dropped_again(tmp_path: Path) -> None:
    drawn = write_phantom(tmp_path, "drawn", draw_head(1))[0]
    page = Page(Drawn())  # type: ignore[arg-type]
    for names, results in ((["gone.png"], 0), (["gone.png", "here.png"], 1)):
        gone, *rest = uploaded(page.folder, [Path(shutil.copy(drawn, tmp_path / name)) for name in names])
        page.folder.discard([gone])
        *_, shown = page.on_scan([gone, *rest], None, None, 0.5, "fr")
        session = shown[0]
        assert len(session.results) == results
        assert [str(p.sentence.say("fr")) for p in session.problems] == [say("upload_gone", "fr", file="gone.png")]
        assert html.escape(say("upload_gone", "fr", file="gone.png")) in shown[2]


def test_what_replaces_a_study_deletes_its_files(tmp_path: Path) -> None:
    page = Page(Drawn())  # type: ignore[arg-type]
    for n, leave in enumerate(
        (
            page.on_clear,
            lambda held: Showcase(page).on_patient("healthy", held, 0.5, "en"),
            lambda held: list(page.on_scan([], None, held, 0.5, "en")),
        )
    ):
        held = page.folder.take(uploaded(page.folder, write_phantom(tmp_path, f"case{n}", draw_head(1))[:1]))
        held.delete_after(600)
        assert held.paths[0].exists()
        leave(held)
        assert not held.paths[0].exists() and not held.paths[0].parent.exists()


# Roles of sequences


def test_the_choice_of_one_study_leaves_the_other_studies_alone(tmp_path: Path) -> None:
    values, affine = turned("LPS")
    files = [tmp_path / f"{who}_{what}.nii" for who in ("ann", "bob") for what in ("flair", "t1", "t1ce")]
    for n, file in enumerate(files):
        nifti(file, values + n, affine)
    page = Page(Drawn())  # type: ignore[arg-type]
    *_, (session, _, _, held, _) = page.on_scan(uploaded(page.folder, files), None, None, 0.5, "en")

    def roles(session: Session) -> list[tuple[str, ...]]:
        return [tuple(s.chosen.get(role, "") for role in ("flair", "pre", "post")) for s in session.studies if s]

    def choose(study: int, series: str, role: str) -> Session:
        choice = json.dumps({"study": study, "series": series, "role": role})
        *_, (again, _, _, same, _) = page.on_choose(choice, session, held, 0.5, "en")
        assert same is held and [r.grid is not None for r in again.results] == [True, True]
        return again  # type: ignore[no-any-return]

    ann, bob = ("ann_flair", "ann_t1", "ann_t1ce"), ("bob_flair", "bob_t1", "bob_t1ce")
    assert roles(session) == [ann, bob]
    steps: list[tuple[int, str, str, list[tuple[str, ...]]]] = [  # study, series, role; every study's roles then
        (1, "bob_t1ce", "", [ann, ("bob_flair", "bob_t1", "")]),
        (0, "ann_t1ce", "flair", [("ann_t1ce", "ann_t1", "ann_flair"), ("bob_flair", "bob_t1", "")]),  # they change places
        (0, "ann_t1", "", [("ann_t1ce", "", "ann_flair"), ("bob_flair", "bob_t1", "")]),
        (1, "bob_t1ce", "pre", [("ann_t1ce", "", "ann_flair"), ("bob_flair", "bob_t1ce", "")]),
    ]
    for study, series, role, expected in steps:
        session = choose(study, series, role)
        assert roles(session) == expected, (series, role)
    with pytest.raises(Exception, match=say("choose_flair_first", "en")):
        choose(0, "ann_t1ce", "")
    for wrong in (
        "",
        "7",
        "[]",
        '{"study": 5, "series": "ann_t1", "role": "pre"}',
        '{"study": 0, "series": "x", "role": "pre"}',
    ):
        with pytest.raises(NotOurs):
            list(page.on_choose(wrong, session, held, 0.5, "en"))
    held.delete()
    with pytest.raises(Exception, match=say("choose_again", "en")):
        choose(0, "ann_t1", "pre")
