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
    "tiff_compression": {
        "en": "{file}: this TIFF is compressed in a way that is not read; save it uncompressed, with LZW or deflate, or as "
        "PNG.",
        "fr": "{file} : la compression de ce TIFF n’est pas lue ; enregistrez-le sans compression, en LZW ou deflate, ou "
        "en PNG.",
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
    "too_much_at_once": {
        "en": "{file}: more data at once than this app holds in memory; give fewer or smaller slices at a time.",
        "fr": "{file} : trop de données à la fois pour la mémoire de cette application ; donnez moins de coupes, ou de "
        "plus petites.",
    },
    "mask_unmatched": {
        "en": "{file}: no image goes with this mask; name it like its image, with or without “_mask”.",
        "fr": "{file} : aucune image ne correspond à ce masque ; donnez-lui le nom de son image, avec ou sans « _mask ».",
    },
    "no_images": {
        "en": "{file}: there is no image in this folder; give PNG, JPEG or TIFF files.",
        "fr": "{file} : ce dossier ne contient aucune image ; donnez des fichiers PNG, JPEG ou TIFF.",
    },
    # What a user should know of a file that was used
    "slices_blank": {
        "en": "{file}: {blank} of {slices} slice(s) have no contrast at all; nothing can be found there.",
        "fr": "{file} : {blank} coupe(s) sur {slices} sans aucun contraste ; rien ne peut y être trouvé.",
    },
    "colour_as_sequences": {
        "en": "{file}: a colour image is read as pre-contrast (red), FLAIR (green) and post-contrast (blue); if it is "
        "only tinted, give it in grey.",
        "fr": "{file} : une image en couleur est lue comme pré-contraste (rouge), FLAIR (vert) et post-contraste "
        "(bleu) ; si elle est seulement teintée, donnez-la en gris.",
    },
    "not_for_diagnosis": {
        "en": "Research and teaching only: not a medical device, not for diagnosis or treatment.",
        "fr": "Recherche et enseignement uniquement : ce n’est pas un dispositif médical, ni un outil de diagnostic ou "
        "de traitement.",
    },
    # The page
    "tagline": {
        "en": "Outlines the FLAIR abnormality of a suspected lower-grade glioma, slice by slice.",
        "fr": "Délimite l’anomalie FLAIR en cas de suspicion de gliome de bas grade, coupe par coupe.",
    },
    "language": {"en": "Language", "fr": "Langue"},
    "scan": {"en": "MRI slices", "fr": "Coupes d’IRM"},
    "reference": {"en": "Ground truth (optional)", "fr": "Vérité terrain (facultative)"},
    "hint": {
        "en": "Axial FLAIR slices of one or several patients, PNG, JPEG or TIFF, 8 or 16 bit or float; in colour: "
        "pre-contrast, FLAIR, post-contrast. Ground truth is matched by name: `NAME_mask` goes with `NAME`.",
        "fr": "Coupes FLAIR axiales d’un ou plusieurs patients, PNG, JPEG ou TIFF, 8 ou 16 bits ou flottant ; en couleur : "
        "pré-contraste, FLAIR, post-contraste. La vérité terrain est associée par son nom : `NOM_mask` va avec `NOM`.",
    },
    "threshold": {"en": "Threshold of probability", "fr": "Seuil de probabilité"},
    "threshold_info": {
        "en": "A pixel counts as abnormal from this probability on. It acts at once.",
        "fr": "Un pixel compte comme anormal à partir de cette probabilité. Effet immédiat.",
    },
    "download": {"en": "Download masks and report", "fr": "Télécharger masques et rapport"},
    "clear": {"en": "Remove these images", "fr": "Retirer ces images"},
    "examples": {
        "en": "No images at hand? Synthetic phantoms, drawn by this project:",
        "fr": "Pas d’images ? Des fantômes synthétiques, dessinés par ce projet :",
    },
    "privacy": {
        "en": "Uploaded files are deleted as soon as they are read. Results stay in memory for this tab alone, at most "
        "one hour.",
        "fr": "Les fichiers envoyés sont effacés dès leur lecture. Les résultats restent en mémoire pour ce seul onglet, "
        "une heure au plus.",
    },
    "nothing_yet": {
        "en": "Drop slices into “MRI slices”, or click a phantom.",
        "fr": "Déposez des coupes dans « Coupes d’IRM », ou cliquez sur un fantôme.",
    },
    "done": {
        "en": "{images} image(s), {slices} slice(s) outlined by {model}.",
        "fr": "{images} image(s), {slices} coupe(s) délimitée(s) par {model}.",
    },
    "scored": {
        "en": "Ground truth found for {slices} slice(s).",
        "fr": "Vérité terrain trouvée pour {slices} coupe(s).",
    },
    "images_first": {
        "en": "Give the images before their ground truth: there is no result to compare it with (results are forgotten "
        "after one hour).",
        "fr": "Donnez les images avant leur vérité terrain : il n’y a aucun résultat à comparer (les résultats sont "
        "oubliés après une heure).",
    },
    "nothing_to_download": {
        "en": "There is no result to download; give images first (results are forgotten after one hour).",
        "fr": "Il n’y a aucun résultat à télécharger ; donnez d’abord des images (les résultats sont oubliés après une "
        "heure).",
    },
    "nothing_given": {
        "en": "No image was given; send at least one PNG, JPEG or TIFF file.",
        "fr": "Aucune image reçue ; envoyez au moins un fichier PNG, JPEG ou TIFF.",
    },
    "reading": {"en": "Reading", "fr": "Lecture"},
    "segmenting": {"en": "Outlining", "fr": "Délimitation"},
    "phantom_single": {"en": "One slice", "fr": "Une coupe"},
    "phantom_series": {"en": "A series of 12", "fr": "Une série de 12"},
    "phantom_healthy": {"en": "Without a lesion", "fr": "Sans lésion"},
    # The viewer
    "panel_image": {"en": "Image", "fr": "Image"},
    "panel_prediction": {"en": "Prediction", "fr": "Prédiction"},
    "panel_reference": {"en": "Ground truth", "fr": "Vérité terrain"},
    "panel_outlines": {"en": "Both outlines", "fr": "Les deux contours"},
    "panel_outline": {"en": "Outline", "fr": "Contour"},
    "panel_agreement": {"en": "Agreement", "fr": "Concordance"},
    "hit": {"en": "hit", "fr": "trouvé"},
    "missed": {"en": "missed", "fr": "manqué"},
    "extra": {"en": "extra", "fr": "en trop"},
    "slice": {"en": "Slice", "fr": "Coupe"},
    "this_slice": {"en": "This slice", "fr": "Cette coupe"},
    "this_series": {"en": "This series", "fr": "Cette série"},
    "all_slices": {"en": "All slices", "fr": "Toutes les coupes"},
    "viewer": {"en": "Slices and scores", "fr": "Coupes et scores"},
    "how_to_scroll": {
        "en": "Change slice with the wheel over an image, or with the arrow keys.",
        "fr": "Changez de coupe avec la molette sur une image, ou avec les flèches du clavier.",
    },
    "precision": {"en": "Precision", "fr": "Précision"},
    "recall": {"en": "Recall", "fr": "Rappel"},
    "area": {"en": "Predicted area", "fr": "Surface prédite"},
    "reference_area": {"en": "Ground-truth area", "fr": "Surface de la vérité terrain"},
    "pixels": {"en": "pixels", "fr": "pixels"},
    "convention": {
        "en": "Dice and IoU are 1 where prediction and ground truth are both empty; only slices with a ground truth are "
        "scored.",
        "fr": "Dice et IoU valent 1 si prédiction et vérité terrain sont vides toutes deux ; seules les coupes avec "
        "vérité terrain sont notées.",
    },
    "picture_of": {"en": "{panel} of {label}", "fr": "{panel} de {label}"},
}

VIEWER_KEYS = (
    "nothing_yet", "panel_image", "panel_prediction", "panel_reference", "panel_outlines", "panel_outline",
    "panel_agreement", "hit", "missed", "extra", "slice", "this_slice", "this_series", "all_slices", "precision",
    "recall", "area", "reference_area", "pixels", "convention", "picture_of", "viewer", "how_to_scroll",
)  # fmt: skip
