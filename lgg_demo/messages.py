"""Every sentence a user may read, in English and French, under one key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Language = Literal["en", "fr"]


@dataclass(frozen=True)
class Sentence:
    """A key of the catalogue with its values; `str` gives English."""

    key: str
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.say("en")

    def say(self, language: Language) -> str:
        """The sentence in a language."""
        return CATALOGUE[self.key][language].format(**self.values)


def say(key: str, language: Language, **values: object) -> str:
    """A sentence of the catalogue in a language."""
    return Sentence(key, values).say(language)


CATALOGUE: dict[str, dict[Language, str]] = {
    # Files that cannot be used
    "not_found": {
        "en": "{file}: there is no such file; check its name.",
        "fr": "{file} : ce fichier n’existe pas ; vérifiez son nom.",
    },
    "unknown_type": {
        "en": "{file}: this type of file is not read; use one of {types}.",
        "fr": "{file} : ce type de fichier n’est pas lu ; utilisez {types}.",
    },
    "empty_file": {
        "en": "{file}: the file is empty (0 bytes); export it again.",
        "fr": "{file} : le fichier est vide (0 octet) ; exportez-le de nouveau.",
    },
    "not_an_image": {
        "en": "{file}: the content is not the image its name promises; export it again as PNG or TIFF.",
        "fr": "{file} : le contenu n’est pas l’image que son nom annonce ; exportez-le de nouveau en PNG ou TIFF.",
    },
    "damaged": {
        "en": "{file}: the file is damaged or incomplete; copy or export it again.",
        "fr": "{file} : le fichier est abîmé ou incomplet ; copiez-le ou exportez-le de nouveau.",
    },
    "too_large": {
        "en": "{file}: the image is too large to be an MRI slice; give slices of at most {side} pixels a side.",
        "fr": "{file} : l’image est trop grande pour une coupe d’IRM ; {side} pixels de côté au plus.",
    },
    "too_small": {
        "en": "{file}: {size} pixels are too few for an MRI slice; give slices of at least {side} pixels a side.",
        "fr": "{file} : {size} pixels sont trop peu pour une coupe d’IRM ; {side} pixels de côté au moins.",
    },
    "too_many_slices": {
        "en": "{file}: {slices} slices are too many for one study; give at most {most}.",
        "fr": "{file} : {slices} coupes sont trop pour un seul examen ; {most} au plus.",
    },
    "channels": {
        "en": "{file}: {channels} channels cannot be told apart; give a grey FLAIR image, or pre-contrast, FLAIR and "
        "post-contrast as red, green and blue.",
        "fr": "{file} : {channels} canaux, impossibles à distinguer ; donnez une image FLAIR en gris, ou pré-contraste, "
        "FLAIR et post-contraste en rouge, vert et bleu.",
    },
    "size_differs": {
        "en": "{file}: {size} pixels, while {other} of the same series has {expected}; give slices of one size.",
        "fr": "{file} : {size} pixels, alors que {other} de la même série en a {expected} ; donnez des coupes d’une "
        "seule taille.",
    },
    "mask_size_differs": {
        "en": "{file}: the mask has {size} pixels, its image {expected}; give the mask on the image’s own grid.",
        "fr": "{file} : le masque fait {size} pixels, son image {expected} ; donnez le masque sur la grille de l’image.",
    },
    "mask_slices_differ": {
        "en": "{file}: the mask has {slices} slices, its image {expected}; give one mask slice for each image slice.",
        "fr": "{file} : le masque a {slices} coupes, son image {expected} ; donnez une coupe de masque par coupe.",
    },
    "mask_missing": {
        "en": "{file}: other slices of this series have a ground truth and this one has none; give its mask too, or none "
        "at all.",
        "fr": "{file} : d’autres coupes de cette série ont une vérité terrain, celle-ci non ; donnez aussi son masque, ou "
        "aucun.",
    },
    "mask_not_finite": {
        "en": "{file}: the mask holds values that are no numbers; export it again.",
        "fr": "{file} : le masque contient des valeurs qui ne sont pas des nombres ; exportez-le de nouveau.",
    },
    "mask_unmatched": {
        "en": "{file}: no image goes with this mask; name it like its image, with or without “_mask”.",
        "fr": "{file} : aucune image ne correspond à ce masque ; donnez-lui le nom de son image, avec ou sans « _mask ».",
    },
    "no_images": {
        "en": "{file}: there is no image in this folder; give PNG, JPEG or TIFF files.",
        "fr": "{file} : ce dossier ne contient aucune image ; donnez des fichiers PNG, JPEG ou TIFF.",
    },
}
