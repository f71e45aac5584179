"""What the tests of this folder share."""

from orthanc import orthanc

__all__ = ("orthanc",)
