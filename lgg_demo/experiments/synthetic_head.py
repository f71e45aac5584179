"""A synthetic head on real anatomy: tissues of an average brain, bent into a person's, with a skull, a scalp and a lesion.

Arrays are of the atlas's own grid: 1 mm, axes to the right, to the front, to the top. What a head gives in a sequence
is without unit; white matter lies between 0.4 and 0.9.
"""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

MAPS = ("t1", "gm", "wm")  # of the atlas
PLACE = "nilearn/datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
EDGE = 30  # voxels that the grid is continued by below, where the brain goes on
BASE = 58  # index of the axial plane below which heads get no narrower, up to the neck
CLOSED = 22.0  # mm; narrower gaps between parts of the brain are inside the skull, or bone of its base
FLUID, SKULL = 1.5, 6.0  # mm between brain and bone; thickness of bone
SCALP = 6.0  # mm
AROUND = {  # signals of fat, muscle, hard bone, marrow and skin
    "flair": (0.80, 0.30, 0.035, 0.34, 0.42),
    "t1": (0.98, 0.42, 0.05, 0.62, 0.45),
    "post": (0.98, 0.50, 0.05, 0.64, 0.60),
}


def read_atlas(wheel: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The maps of the ICBM 2009a average brain in nilearn's wheel, as float32 (197, 233, 189) in [0, 1], and the affine.

    Raises ValueError where the file is no such wheel.
    """
    found = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in MAPS:
                image = nib.Nifti1Image.from_bytes(gzip.decompress(archive.read(PLACE.format(name))))
                values = image.get_fdata(dtype=np.float32)
                found[name] = values / values.max()
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{wheel.name} is not nilearn's wheel: {error}") from error
    return found, np.asarray(image.affine)


class Noise:
    """Smooth random fields of mean 0 and standard deviation 1, one after the other."""

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        self.shape = shape
        self.random = np.random.default_rng(seed)

    def field(self, millimetres: float) -> np.ndarray:
        """A field (float32) that is smooth over so many millimetres, of the shape of the grid."""
        step = max(1.0, millimetres / 2.5)
        coarse = tuple(int(np.ceil(n / step)) + 4 for n in self.shape)
        rough = ndimage.gaussian_filter(
            self.random.standard_normal(coarse, dtype=np.float32), millimetres / step, mode="wrap"
        )
        rough /= rough.std()
        if step == 1.0:
            return np.asarray(rough[tuple(slice(n) for n in self.shape)])
        start = self.random.uniform(0, 1, len(coarse))
        return np.asarray(ndimage.affine_transform(rough, [1 / step] * 3, start + 0.5, self.shape, order=1, mode="nearest"))


@dataclass(frozen=True)
class Lesion:
    """Where a lesion has begun, (x, y, z) in mm of the atlas, its volume in mL, its radii to each other, and its seed."""

    centre: tuple[float, float, float]
    volume_ml: float
    shape: tuple[float, float, float] = (1.0, 1.2, 0.9)
    seed: int = 0


@dataclass
class Head:
    """One person: the tissues, as shares of each voxel, and what lies round them.

    seed: of everything that makes the person; size: to the atlas's, along each axis; bend: mm by which anatomy is moved
    about. lesions: at this visit.
    """

    maps: Mapping[str, np.ndarray]
    affine: np.ndarray
    seed: int
    size: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bend: float = 2.5
    lesions: tuple[Lesion, ...] = ()
    noise: Noise = field(init=False)

    def __post_init__(self) -> None:
        self.shape = self.maps["t1"].shape
        self.noise = Noise(self.shape, self.seed)
        self.t1, self.grey, self.white = self._bent()
        self.brain = np.asarray(self.t1 > 0.2)
        self.inside, self.outline = self._skull()
        self.deep = ndimage.distance_transform_edt(self.inside < 0).astype(np.float32)
        self.lesion, self.share = self._grown()

    # Anatomy

    def _places(self) -> np.ndarray:
        """Where in the atlas each voxel of this head comes from: (3, *shape) float32 indices."""
        places = np.indices(self.shape, dtype=np.float32)
        middle = np.array(self.shape, dtype=np.float32) / 2  # of the grid, which is about that of the brain
        for axis in range(3):
            places[axis] = (places[axis] - middle[axis]) / self.size[axis] + middle[axis]
            places[axis] += self.bend * (0.8 * self.noise.field(32) + 0.35 * self.noise.field(11))
        return places

    def _bent(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """T1, grey and white matter of this head; a lesion pushes away what lies round it, most at its edge."""
        places = self._places()
        for lesion in self.lesions:
            centre = self.index(lesion.centre)
            radius = (lesion.volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
            away = np.indices(self.shape, dtype=np.float32) - centre.reshape(3, 1, 1, 1).astype(np.float32)
            far = np.sqrt((away**2).sum(axis=0)) / radius
            push = 0.16 * radius * far * np.exp(-0.5 * far**2) * 1.6
            places -= away / np.maximum(far * radius, 1e-3) * push
        t1, grey, white = (ndimage.map_coordinates(self.maps[name], places, order=1) for name in MAPS)
        return t1, grey, white

    @property
    def axes(self) -> list[np.ndarray]:
        """The indices of voxels along each axis, to be combined with each other."""
        return [np.arange(n).reshape([-1 if a == axis else 1 for a in range(3)]) for axis, n in enumerate(self.shape)]

    def index(self, place: tuple[float, float, float]) -> np.ndarray:
        """The voxel of a place in mm."""
        return np.asarray(np.linalg.inv(self.affine) @ [*place, 1])[:3]

    def _skull(self) -> tuple[np.ndarray, np.ndarray]:
        """mm from the inner surface of the skull, negative within, and from the head's outline, negative within it."""
        brain = np.pad(self.brain, EDGE, mode="edge")
        near = ndimage.distance_transform_edt(~brain) <= CLOSED
        closed = ndimage.distance_transform_edt(near) > CLOSED - FLUID
        closed = closed[(slice(EDGE, -EDGE),) * 3]
        inside = _signed(closed, 2.0) + 0.4 * self.noise.field(14)
        widest = closed.copy()
        for z in range(BASE, -1, -1):
            widest[..., z] |= widest[..., z + 1]
        thick = SKULL + SCALP + 0.7 * self.noise.field(38)
        return inside, _signed(widest, 7.0) - thick

    @cached_property
    def fluid(self) -> np.ndarray:
        """Share of cerebrospinal fluid: dark in the sharpened T1 of the brain, and all between brain and skull."""
        sharp = self.t1 + 1.1 * (self.t1 - ndimage.gaussian_filter(self.t1, 1.6))
        dark = np.clip((0.60 - sharp) / 0.22, 0, 1)
        dark = np.where(self.brain, dark, 1.0)
        near = ndimage.distance_transform_edt(~self.brain) < 5
        return np.asarray(np.where((self.inside < 0.3) & near, dark, 0)).astype(np.float32)

    @cached_property
    def ventricles(self) -> np.ndarray:
        """Share of fluid deep in the brain."""
        return np.asarray(ndimage.gaussian_filter(((self.deep > 24) & (self.fluid > 0.7)).astype(np.float32), 0.7))

    @cached_property
    def vessels(self) -> np.ndarray:
        """Share of arteries and veins in the fluid, tubes where two random surfaces meet, and of the venous sinuses."""
        first, second = self.noise.field(7), self.noise.field(7)
        tubes = np.exp(-(first**2 + second**2) / (2 * 0.24**2))
        tubes = tubes * self.fluid * (self.deep > 0.5)
        x, y, z = self.axes
        middle = np.abs(x - self.index((0, 0, 0))[0] + 0.6 * self.noise.field(30))
        sagittal = np.clip(1.6 - middle / 3.2 - np.abs(self.deep - 2.5) / 3.0, 0, 1)
        sagittal = sagittal * ((z > self.index((0, 0, 10))[2]) | (y < self.index((0, -50, 0))[1]))
        return np.asarray(np.clip(tubes * (1 - self.ventricles) + sagittal * (self.inside < 0.5) * (1 - self.white), 0, 1))

    @cached_property
    def dura(self) -> np.ndarray:
        """Share of dura, falx and the like."""
        x = self.axes[0] - self.index((0, 0, 0))[0] + 0.6 * self.noise.field(30)
        falx = np.exp(-0.5 * (x / 0.7) ** 2) * (self.fluid > 0.25) * (1 - self.ventricles)
        return np.asarray(np.clip(0.8 * falx + np.exp(-0.5 * (self.inside / 0.6) ** 2) * (self.outline < -4), 0, 1))

    # Lesions

    def _grown(self) -> tuple[np.ndarray, np.ndarray]:
        """The lesions, bool, and how much of each voxel they have taken.

        Each is one random landscape round its centre, cut at the height that gives its volume: at a later visit the
        earlier lesion lies within the later one. It follows white matter, and goes round fluid.
        """
        lesion = np.zeros(self.shape, dtype=bool)
        inner = np.zeros(self.shape, dtype=np.float32)
        for one in self.lesions:
            noise = Noise(self.shape, one.seed)
            centre, grid = self.index(one.centre), self.axes
            far = np.sqrt(sum(((grid[n] - centre[n]) / one.shape[n]) ** 2 for n in range(3)))
            height = (
                far - 3.4 * noise.field(9) - 2.2 * noise.field(4) - 7.0 * (ndimage.gaussian_filter(self.white, 1.2) - 0.4)
            )
            height = ndimage.gaussian_filter(height, 0.8) + 14 * ndimage.gaussian_filter(self.fluid, 0.8)
            height = np.where(self.brain & (self.inside < -1.5), height, np.inf)
            level = np.sort(height, axis=None)[round(one.volume_ml * 1000)]
            lesion |= ndimage.binary_fill_holes(_largest(height < level))
            inner = np.maximum(inner, np.clip((level - np.where(np.isfinite(height), height, 1e3)) / 3.0 + 0.5, 0, 1))
        return lesion, np.asarray(ndimage.gaussian_filter(inner * ndimage.binary_dilation(lesion, iterations=2), 0.7))

    # What a scanner would see

    def signals(self) -> dict[str, np.ndarray]:
        """FLAIR and T1 before and after contrast, each (*shape) float32."""
        around = self._around()
        fine, broad = self.noise.field(1.6), self.noise.field(4.5)
        share = self.share
        wet = self.fluid
        total = np.maximum(self.grey + self.white, 0.05)
        grey, white = _sharpened(self.grey / total, self.white / total)
        grey, white = grey * (1 - wet), white * (1 - wet)
        flair = 0.59 * grey + 0.43 * white + 0.07 * wet + 0.008 * fine
        flair += 0.10 * ndimage.gaussian_filter(self.ventricles, 2.2) * (1 - wet)  # the seam and caps of the ventricles
        flair += 0.10 * ndimage.gaussian_filter(share, 5) * white * (1 - share)  # what a lesion's edge fades into
        ill = 0.88 + 0.05 * broad + 0.02 * fine - 0.12 * ndimage.gaussian_filter(share, 6) ** 3
        flair += share * (1 - 0.9 * wet) * (ill - flair)
        flair -= 0.85 * self.vessels * flair
        flair += 0.22 * self.dura * (1 - self.vessels)
        sharp = self.t1 + 0.7 * (self.t1 - ndimage.gaussian_filter(self.t1, 1.6))
        pre = np.clip(0.86 * sharp - 0.05, 0, None) * (1 - wet) + 0.17 * wet + 0.006 * fine
        pre -= share * (1 - wet) * (0.24 + 0.02 * broad) * pre / 0.75
        pre += 0.12 * self.dura
        taken = 0.62 * self.vessels + 0.20 * self.dura + 0.38 * self.choroid + 0.015 * share * (1 - wet)
        found = {"flair": (flair, "flair"), "pre": (pre, "t1"), "post": (pre + taken, "post")}
        cut = np.clip(0.5 - self.inside / 1.2, 0, 1)
        return {name: np.asarray(v * cut + around[a] * (1 - cut), dtype=np.float32) for name, (v, a) in found.items()}

    @cached_property
    def choroid(self) -> np.ndarray:
        """Share of choroid plexus: threads in the atria of the ventricles."""
        return np.asarray(self.ventricles * np.exp(-((self.noise.field(3) - 0.4) ** 2) / (2 * 0.45**2)) * self._behind)

    @property
    def _behind(self) -> np.ndarray:
        return np.asarray(np.clip((self.index((0, -8, 0))[1] - self.axes[1]) / 12, 0, 1))

    def _around(self) -> dict[str, np.ndarray]:
        """What lies between the brain and the air: bone with its marrow, muscle, fat and skin. In each sequence."""
        depth = -self.outline  # below the skin
        fine, broad = self.noise.field(2.2), self.noise.field(9)
        bone = SKULL + 0.5 * broad
        marrow = np.clip(1.25 - np.abs(self.inside - bone / 2) / (0.30 * bone), 0, 1) * np.clip(0.75 + 0.35 * fine, 0, 1)
        in_bone = np.clip(bone - self.inside + 0.5, 0, 1) * np.clip(self.inside + 0.5, 0, 1)
        x, y, z = self.axes
        side = np.clip((np.abs(x - self.index((0, 0, 0))[0]) - 48) / 10, 0, 1)
        low = np.clip((self.index((0, 0, 22))[2] - z) / 14, 0, 1) * np.clip((y - self.index((0, -48, 0))[1]) / 14, 0, 1)
        muscle = np.clip(side * low * np.clip((depth - 3.2) / 1.2, 0, 1) + np.clip((depth - 9) / 2, 0, 1), 0, 1)
        skin = np.clip(1.6 - np.abs(depth - 0.8) / 0.9, 0, 1)
        found = {}
        for name, (fat, flesh, cortex, pith, rind) in AROUND.items():
            soft = (fat + 0.07 * fine + 0.05 * broad) * (1 - muscle) + (flesh + 0.05 * fine) * muscle
            soft += skin * (rind - soft) * 0.8
            hard = cortex + (pith - cortex) * marrow
            found[name] = np.where(depth > 0, 1.0, 0.0) * self._face(
                soft * (1 - in_bone) + hard * in_bone, fat, flesh, cortex
            )
            found[name] = ndimage.gaussian_filter(found[name], 0.5)
        return found

    @cached_property
    def _orbits(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Below the brain's front: shares of bone and air cells, of the orbits' fat, of muscle and nerve, of the eyes."""
        x, y, z = (axis - zero for axis, zero in zip(self.axes, self.index((0, 0, 0)), strict=True))
        depth, outside = -self.outline, np.clip(self.inside - SKULL, 0, 1)
        base = np.clip((depth - 10) / 2, 0, 1) * outside * np.clip((-10 - z) / 6, 0, 1)
        along = np.clip((y - 22) / 44, 0, 1)  # from the apex of an orbit to its eye
        off = np.sqrt((np.abs(x) - 12 - 19 * along) ** 2 + (z + 24 + 11 * along) ** 2)
        wide = (
            np.clip((4 + 13 * along - off) / 1.5, 0, 1)
            * np.clip((y - 18) / 3, 0, 1)
            * np.clip((depth - 4) / 2, 0, 1)
            * outside
        )
        cone = np.exp(-0.5 * ((off - 2.5 - 8 * along) / 1.1) ** 2) * np.clip(0.9 + self.noise.field(5), 0, 1)
        eye = np.sqrt((np.abs(x) - 31) ** 2 + (y - 66) ** 2 + (z + 35) ** 2)
        flesh = np.maximum(np.maximum(cone, np.clip(2.4 - off, 0, 1)), np.clip(13.2 - eye, 0, 1))
        return base, wide, flesh * wide, np.clip(12 - eye, 0, 1) * np.clip(depth - 3, 0, 1)

    def _face(self, value: np.ndarray, fat: float, flesh: float, cortex: float) -> np.ndarray:
        """What lies round the brain with orbits, and with the air cells and the bone of the skull's base."""
        base, orbit, strands, eyes = self._orbits
        cells = cortex + 0.55 * flesh * np.exp(-((self._cells / 0.35) ** 2))
        value = value * (1 - base) + cells * base
        value = value * (1 - orbit) + 0.9 * fat * orbit
        value = value * (1 - strands) + 1.2 * flesh * strands
        return np.asarray(value * (1 - eyes) + 0.12 * eyes)

    @cached_property
    def _cells(self) -> np.ndarray:
        return self.noise.field(4.5)


def _sharpened(grey: np.ndarray, white: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of an average, which is blurred, as one person has them: the larger gains."""
    g, w = grey**2.2, white**2.2
    total = np.maximum(g + w, 1e-6)
    return g / total, w / total


def _signed(mask: np.ndarray, smooth: float) -> np.ndarray:
    """mm from the surface of a mask, negative within, smoothed."""
    outer, inner = ndimage.distance_transform_edt(~mask), ndimage.distance_transform_edt(mask)
    return np.asarray(ndimage.gaussian_filter((outer - inner).astype(np.float32), smooth))


def _largest(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask)
    return np.asarray(labels == 1 + np.argmax(ndimage.sum_labels(mask, labels, range(1, count + 1)))) if count else mask
