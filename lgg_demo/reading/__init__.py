"""Files of any kind to cases: what a caller of this package needs. `read` and `attach` decode in a child process.

No torch, nothing that draws.
"""

from lgg_demo.reading.archive import Given
from lgg_demo.reading.guard import Limits, Stopped, attach, prepare, read
from lgg_demo.reading.layout import Layout
from lgg_demo.reading.manifest import ManifestError, read_manifest
from lgg_demo.reading.studies import Read, Request, read_all

__all__ = (
    "Given",
    "Layout",
    "Limits",
    "ManifestError",
    "Read",
    "Request",
    "Stopped",
    "attach",
    "prepare",
    "read",
    "read_all",
    "read_manifest",
)
