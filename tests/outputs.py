"""What the command lines write, before a change and after it: `python -m tests.outputs`, from the project's root.

    python -m tests.outputs inputs DIR --data data/kaggle_3m   draw and copy what is segmented, once
    python -m tests.outputs run DIR OUT                        segment and score it with the code that is checked out
    python -m tests.outputs compare OUT OUT                    name each file that differs; exit code 1 if any does

Files are compared to the byte but for what no two runs share: UIDs and times of DICOM objects, the date of a PDF,
seconds a slice.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

PATIENTS = 8
NO_TWO_SHARE = ("seconds_per_slice",)
TIMES = ("ContentDate", "ContentTime", "ContributionDateTime", "InstanceCreationDate", "InstanceCreationTime",
         "EncapsulatedDocument", "EncapsulatedDocumentLength")  # fmt: skip


def draw_inputs(folder: Path, data: Path) -> None:
    """Eight patients, two NIfTI volumes, two DICOM series and two phantoms, each with its reference."""
    sys.path.insert(0, str(Path(__file__).parent))
    from dicom_files import enhanced, segmentation, series
    from nifti_files import nifti, turned

    from lgg_demo.train.data import index_dataset, read_patient

    index = index_dataset(data)
    names = sorted(index["patient"].unique())
    chosen = names[:: len(names) // PATIENTS][:PATIENTS]
    for name in chosen:
        shutil.copytree(data / name, folder / "patients" / name)
    (folder / "patients.csv").write_text("patient\n" + "".join(f"{name}\n" for name in chosen))
    for name, codes in zip(chosen[:2], ("RAS", "PIL"), strict=True):
        scan, mask = read_patient(index[index["patient"] == name])
        (folder / "nifti").mkdir(exist_ok=True)
        for suffix, stack in (("flair", scan.pixels[..., 1]), ("mask", mask.astype(np.float32))):
            nifti(folder / "nifti" / f"{codes}_{suffix}.nii.gz", *turned(codes, stack, (5.0, 0.9, 0.9)))
    scan, mask = read_patient(index[index["patient"] == chosen[2]])
    stack = scan.pixels[..., 1]
    paths = series(folder / "dicom" / "classic", stack, (5.0, 0.9, 0.9))
    segmentation(folder / "dicom" / "classic", sorted(paths, key=_height), mask)
    (folder / "dicom" / "enhanced").mkdir()
    enhanced(folder / "dicom" / "enhanced" / "image.dcm", stack, (5.0, 0.9, 0.9))
    shutil.rmtree(folder / "dicom" / "enhanced" / "classic")
    from drawn_heads import LESIONS, draw_head, write_phantom

    (folder / "phantoms").mkdir()
    for lesion in LESIONS:
        write_phantom(folder / "phantoms", lesion, draw_head(3, lesion=lesion))
    Image.new("L", (64, 64), 128).save(folder / "phantoms" / "blank.png")


def _height(path: Path) -> float:
    return float(pydicom.dcmread(path).ImagePositionPatient[2])


def run(folder: Path, out: Path) -> None:
    """Call `predict` on each kind of input and `evaluate` on the patients."""
    inputs = {name: [folder / name] for name in ("patients", "nifti", "phantoms")}
    inputs |= {f"dicom-{name}": [folder / "dicom" / name] for name in ("classic", "enhanced")}
    for name, paths in inputs.items():
        _call(out / f"{name}.txt", "predict", *paths, "--out", out / name)
    _call(out / "evaluate.txt", "evaluate", "--data", folder / "patients", "--patients", folder / "patients.csv",
          "--out", out / "evaluate")  # fmt: skip


def _call(log: Path, module: str, *arguments: str | Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", f"lgg_demo.{module}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "ignore"})
    said = [
        line for line in (done.stdout + done.stderr).splitlines() if "seconds_per_slice" not in line and "%|" not in line
    ]
    log.write_text("\n".join([*said, f"exit {done.returncode}"]).replace(str(log.parent), "OUT") + "\n")


def content(path: Path) -> object:
    """What of a file two runs share."""
    if path.name == "metrics.json":
        return {k: v for k, v in json.loads(path.read_text()).items() if k not in NO_TWO_SHARE}
    if path.suffix == ".dcm":
        ds = pydicom.dcmread(path)
        return [
            (e.tag, e.VR, e.value) if e.VR != "SQ" else (e.tag, _without_uids(e))
            for e in ds
            if e.VR != "UI" and e.keyword not in TIMES
        ]
    if path.suffix == ".pdf":
        text = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, text=True, check=True)
        return text.stdout
    return path.read_bytes()


def _without_uids(element: pydicom.DataElement) -> list[object]:
    return [
        [
            (e.tag, _without_uids(e)) if e.VR == "SQ" else (e.tag, e.value)
            for e in item
            if e.VR != "UI" and e.keyword not in TIMES
        ]
        for item in element
    ]


def compare(first: Path, second: Path) -> int:
    """Print each file that differs, return how many do."""
    names = sorted({p.relative_to(top) for top in (first, second) for p in top.rglob("*") if p.is_file()})
    differ = [n for n in names if not ((first / n).is_file() and (second / n).is_file())
              or content(first / n) != content(second / n)]  # fmt: skip
    for name in differ:
        print(f"differs: {name}")
    print(f"{len(names)} files, {len(differ)} differ")
    return len(differ)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("inputs", "run", "compare"))
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the kaggle_3m folder, for `inputs`")
    given = parser.parse_args()
    if given.what == "inputs":
        draw_inputs(given.folders[0], given.data)
    elif given.what == "run":
        run(*given.folders)
    else:
        return 1 if compare(*given.folders) else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
