"""What `pip install .` installs, read from requirements.txt: its first part serves, and the extra `train` adds the rest.

`pip install '.[serve]'` says that serving is all that is wanted. Everything else about the package is in pyproject.toml.
"""

from pathlib import Path

from setuptools import setup

PARTS = ("# Serving", "# Training")


def requirements(part: str) -> list[str]:
    """The lines of requirements.txt under the comment that begins with `part`."""
    lines = (Path(__file__).parent / "requirements.txt").read_text(encoding="utf-8").splitlines()
    under, found = "", []
    for line in lines:
        if line.startswith("#"):
            under = next((p for p in PARTS if line.startswith(p)), under)
        elif line.strip() and under == part:
            found.append(line.strip())
    return found


setup(
    install_requires=requirements(PARTS[0]),
    extras_require={"serve": [], "train": requirements(PARTS[1])},
)
