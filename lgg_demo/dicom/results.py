"""A study's images to the objects that go into the archive, by the same steps as `predict`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset

from lgg_demo.case import Case, Notice, ReadError
from lgg_demo.messages import Sentence
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.output.dicom import DicomChoice, write_dicom
from lgg_demo.output.display import grey
from lgg_demo.output.report import build_report
from lgg_demo.output.result import result_of
from lgg_demo.reading import Request, Stopped, read
from lgg_demo.reading.dicom import read_tags

# Of a series of which nobody says that it is FLAIR, or who says that it is another sequence.
UNLABELLED = ("role_unknown", "no_flair", "named_other")
# What a study may hold beside a FLAIR, or instead of one; whatever else cannot be read might have been it.
NO_FLAIR = (
    "dicom_no_picture", "dicom_contours", "dicom_modality", "volume_colour", "volume_few_slices", "nothing_inside",
    "flair_missing", "others_beside", "outputs_beside",
)  # fmt: skip


@dataclass
class Outcome:
    """What came of a study. files: the objects; said: what its user should know; lost: whether something that might have
    been segmented could not be read, or an object could not be made.
    """

    files: list[Path] = field(default_factory=list)
    said: list[Sentence] = field(default_factory=list)
    lost: bool = False


@dataclass(frozen=True)
class Pipeline:
    """How studies are segmented. labelled: only a series that says it is FLAIR. language of what is written: English."""

    segmenter: Segmenter
    threshold: float
    choice: DicomChoice
    keep_patient: bool
    labelled: bool

    def __call__(
        self,
        images: Path,
        out: Path,
        own: Sequence[Path] = (),
        stop: Callable[[], bool] = lambda: False,
        notices: Sequence[Notice] = (),
    ) -> Outcome:
        """Segment the images of a folder and write the objects into another.

        own: earlier results among the images; a FLAIR of which they have results by these weights is left out.
        notices: what the report says beside what is found. Raises reading.Stopped once `stop` says so.
        """
        outcome = Outcome()

        def go_on(*_: int) -> None:
            if stop():
                raise Stopped

        known = {file.name for file in own}
        for event in read(Request((images,), keep_patient=self.keep_patient), stop):
            if isinstance(event, Case):
                self._segment(event, out, own, go_on, notices, outcome)
            elif event.file not in known:
                outcome.said.append(event.sentence)
                outcome.lost |= isinstance(event, ReadError) and event.sentence.key not in NO_FLAIR
        return outcome

    def _segment(
        self,
        case: Case,
        out: Path,
        own: Sequence[Path],
        go_on: Callable[..., None],
        notices: Sequence[Notice],
        outcome: Outcome,
    ) -> None:
        unlabelled = [w for w in case.warnings if w.key in UNLABELLED]
        if self.labelled and unlabelled:
            outcome.said += unlabelled
            return
        if _results_of(own, case.scan.instances, self.segmenter.record):
            outcome.said.append(Sentence("dicom_results_before", {"file": case.scan.name}))
            return
        result = result_of(case, self.segmenter.segment(case.scan, go_on))
        outcome.said += result.warnings
        report = build_report([result], self.threshold, self.segmenter.record, notices=notices)
        files, failures = write_dicom(result, report, out, picture=grey(case.scan), choice=self.choice)
        outcome.files += files
        outcome.said += failures
        outcome.lost |= bool(failures) or not files


def _results_of(files: Sequence[Path], instances: Sequence[Dataset], record: dict[str, object]) -> bool:
    """Whether files of ours, of any kind, are by the weights of a record and refer to all of these images."""
    referred: set[str] = set()
    for file in files:
        try:
            ds = read_tags(file, ("DeviceSerialNumber", "SourceImageSequence", "SourceInstanceSequence"))
            sources = [*ds.get("SourceImageSequence", ()), *ds.get("SourceInstanceSequence", ())]
            if str(ds.DeviceSerialNumber) == str(record.get("sha256") or "")[:16]:
                referred |= {str(source.ReferencedSOPInstanceUID) for source in sources}
        except Exception:  # whatever pydicom raises on a file that only says that it is ours
            continue
    return bool(instances) and {str(instance.SOPInstanceUID) for instance in instances} <= referred
