"""Bounds."""

from __future__ import annotations

from lgg_demo.case import Role

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff")
TIFF_SUFFIXES = (".tif", ".tiff")
MASK_ENDING = "_mask"
FLAIR = 1  # its place among the three channels

# A slice of a clinical scanner has at most 1024 pixels a side; what is far beyond is a photograph or a bomb. The bounds
# are checked on the header, before any pixel is decoded.
LARGEST_SIDE = 4096
SMALLEST_SIDE = 16
MOST_SLICES = 1000
MOST_VALUES = 400_000_000  # of one file as it is held, three channels padded to a square: 1.6 GB as float32
MOST_PICTURE_VALUES = 200_000_000  # of all pictures of one request to the server, which keeps what it segments
LARGEST_VALUE = 1e30  # far beyond any intensity; arithmetic on float32 overflows above it
NIFTI_SUFFIXES = (".nii", ".nii.gz")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")

MOST_VOXELS = MOST_VALUES // 3  # of one volume: three channels of it are held
MOST_BYTES = 1_200_000_000  # of one file; NIfTI is read piece by piece
MOST_DICOM_BYTES = 600_000_000  # pydicom holds a file whole, beside its voxels
MOST_VOLUMES = 8  # of one file or series
WIDEST_SLICE = 2048  # no scanner draws an MR slice of more than 1024
FARTHEST_VOXELS = 16_000_000  # where a NIfTI's voxels may start at the latest
MOST_ALIKE = 3  # sentences of one kind about files of one folder
SAME_PLACE = 0.01  # mm; slices nearer than this share a position
SAME_PLANE = 0.02  # between the direction cosines of slices of one volume
OUTSIDE_SHARE = 0.25  # of the voxels of a skull-stripped volume that are exactly 0, at least
VOXEL_MM = (0.1, 100.0)  # a voxel side beyond these is an error in the header
MOST_FILES = 5000
MOST_UNPACKED = 1_500_000_000  # bytes of all zips of one upload on the disk
CHANNELS: dict[Role, int] = {"pre": 0, "flair": FLAIR, "post": 2}
TYPES = (*IMAGE_SUFFIXES, ".nii", ".nii.gz", ".dcm", ".zip")
# What lies beside images on a disc or in an export, and is skipped without a word.
BESIDE = (
    ".txt", ".json", ".csv", ".tsv", ".bval", ".bvec", ".md", ".xml", ".html", ".htm", ".pdf", ".ini", ".inf", ".exe",
    ".dll", ".log", ".url", ".db", ".rtf", ".doc", ".docx", ".xlsx", ".js", ".css", ".gif", ".ico", ".jar", ".mat",
)  # fmt: skip
# Volumes of other programs: a scan that is not read must not go unsaid, even in a folder.
OTHER_VOLUMES = (".mha", ".mhd", ".nrrd", ".nhdr", ".mgz", ".mgh", ".mnc", ".hdr", ".par")
BESIDE_SERIES = ("dicom_no_picture", "dicom_mosaic", "volume_colour", "volume_few_slices", "too_small")
