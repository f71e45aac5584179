"""LGG Demo: outlines the FLAIR abnormality of suspected lower-grade gliomas. Research and teaching, not diagnosis."""

from pathlib import Path

__version__ = "0.1.0"

_PACKAGE = Path(__file__).resolve().parent
# Inside the package where it is installed (pyproject.toml), beside it in the repository.
WEIGHTS = _PACKAGE / "weights" if (_PACKAGE / "weights").is_dir() else _PACKAGE.parent / "weights"
