"""Every sentence a user may read, in English and French, under one key."""

from __future__ import annotations

import re
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
        return CATALOGUE[self.key][language].format(**{k: _Written(v, language) for k, v in self.values.items()})


@dataclass(frozen=True)
class _Written:
    """A value as a sentence has it: `{mm}`, a number with the language's decimal sign; `{slices:slice|slices}`, a number and
    the word that goes with it, which French has in the singular below two, English at one alone.
    """

    value: object
    language: Language

    def __format__(self, words: str) -> str:
        value, french = self.value, self.language == "fr"
        text = f"{value:g}" if isinstance(value, float) else str(value)
        text = text.replace(".", ",") if french and isinstance(value, float) else text
        if not words:
            return text
        one, several = words.split("|")
        return f"{text} {one if value == 1 or (french and value == 0) else several}"


def say(key: str, language: Language, **values: object) -> str:
    """A sentence of the catalogue in a language."""
    return Sentence(key, values).say(language)


CATALOGUE: dict[str, dict[Language, str]] = {
    # Files that cannot be used
    "not_found": {
        "en": "{file}: there is no such file; check its name.",
        "fr": "{file} : ce fichier n’existe pas ; vérifiez son nom.",
    },
    "upload_gone": {
        "en": "{file}: the server no longer has this file, because its turn came too late; drop it once more.",
        "fr": "{file} : le serveur n’a plus ce fichier, car son tour est venu trop tard ; déposez-le de nouveau.",
    },
    "unknown_type": {
        "en": "{file}: this type of file is not read; use one of {types}.",
        "fr": "{file} : ce type de fichier n’est pas lu ; utilisez l’un de ceux-ci : {types}.",
    },
    "empty_file": {
        "en": "{file}: the file is empty (0 bytes); export it again.",
        "fr": "{file} : le fichier est vide (0 octet) ; exportez-le de nouveau.",
    },
    "not_an_image": {
        "en": "{file}: the content is not the image its name promises; export it again as PNG or TIFF.",
        "fr": "{file} : le contenu n’est pas l’image que son nom annonce ; exportez-le de nouveau en PNG ou TIFF.",
    },
    "dicom_as_image": {
        "en": "{file}: this is DICOM, not the image its name promises; name it “.dcm” and give it again.",
        "fr": "{file} : c’est du DICOM, pas l’image que son nom annonce ; nommez-le « .dcm » et donnez-le de nouveau.",
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
        "fr": "{file} : {size} pixels, c’est trop peu pour une coupe d’IRM ; {side} pixels de côté au moins.",
    },
    "too_many_slices": {
        "en": "{file}: {slices} slices are too many for one study; give at most {most}.",
        "fr": "{file} : {slices} coupes, c’est trop pour un seul examen ; {most} au plus.",
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
        "fr": "{file} : le masque a {slices} coupes, son image {expected} ; donnez une coupe de masque par coupe de l’image.",
    },
    "too_much_at_once": {
        "en": "{file}: more data at once than this app holds in memory; give fewer or smaller slices at a time.",
        "fr": "{file} : trop de données à la fois pour la mémoire de cette application ; donnez moins de coupes, ou de "
        "plus petites.",
    },
    "flair_missing": {
        "en": "{file}: none of the sequences of this study is FLAIR, and no other is segmented; give the FLAIR, or say which "
        "one it is.",
        "fr": "{file} : aucune séquence de cet examen n’est FLAIR, et aucune autre n’est segmentée ; donnez la FLAIR, ou dites "
        "laquelle c’est.",
    },
    "seg_of_other_study": {
        "en": "{file}: this DICOM segmentation belongs to another study than the images; give the one that was drawn on them.",
        "fr": "{file} : cette segmentation DICOM appartient à un autre examen que les images ; donnez celle qui a été tracée "
        "dessus.",
    },
    "reading_too_long": {
        "en": "{file}: reading it takes too long for an MRI image; export it again, or give fewer files.",
        "fr": "{file} : sa lecture prend trop de temps pour une image d’IRM ; exportez-le de nouveau, ou donnez moins de fichiers.",
    },
    "reading_ended": {
        "en": "{file}: the file is damaged, or takes more memory than an MRI image; export it again.",
        "fr": "{file} : le fichier est abîmé, ou demande plus de mémoire qu’une image d’IRM ; exportez-le de nouveau.",
    },
    "reading_given_up": {
        "en": "{file}: reading ended over this file too, and others were not tried; give fewer files at a time.",
        "fr": "{file} : la lecture s’est encore arrêtée sur ce fichier, d’autres n’ont pas été essayés ; donnez moins de fichiers "
        "à la fois.",
    },
    "zip_compression": {
        "en": "{file}: this zip is compressed in a way that is not read; make it anew with the usual compression (deflate).",
        "fr": "{file} : la compression de ce zip n’est pas lue ; refaites-le avec la compression habituelle (deflate).",
    },
    "disk_full": {
        "en": "{file}: there is no room on the server’s disk at the moment; try again in a few minutes.",
        "fr": "{file} : il n’y a plus de place sur le disque du serveur pour le moment ; réessayez dans quelques minutes.",
    },
    "mask_unmatched": {
        "en": "{file}: no image goes with this mask; name it like its image, with or without “_mask”.",
        "fr": "{file} : aucune image ne correspond à ce masque ; donnez-lui le nom de son image, avec ou sans « _mask ».",
    },
    "no_images": {
        "en": "{file}: there is no image in this folder; give PNG, JPEG, TIFF, NIfTI or DICOM files, or zips of them.",
        "fr": "{file} : ce dossier ne contient aucune image ; donnez des fichiers PNG, JPEG, TIFF, NIfTI ou DICOM, ou des zips.",
    },
    # What a user should know of a file that was used
    "corrected_by_hand": {
        "en": "{file}: corrected by hand; {pixels:pixel differs|pixels differ} from the network’s outline.",
        "fr": "{file} : corrigé à la main ; {pixels:pixel diffère|pixels diffèrent} du contour du réseau.",
    },
    "corrections_unusable": {
        "en": "The corrections do not fit the result that is kept; nothing was written. Give the images again.",
        "fr": "Les corrections ne correspondent pas au résultat conservé ; rien n’a été écrit. Redonnez les images.",
    },
    "slices_blank": {
        "en": "{file}: {blank:slice|slices} of {slices} of one single grey value; nothing can be found there.",
        "fr": "{file} : {blank:coupe|coupes} sur {slices} d’une seule valeur de gris ; rien ne peut y être trouvé.",
    },
    "colour_as_sequences": {
        "en": "{file}: a colour image is read as pre-contrast (red), FLAIR (green) and post-contrast (blue); if it is "
        "only tinted, give it in grey.",
        "fr": "{file} : une image en couleur est lue comme pré-contraste (rouge), FLAIR (vert) et post-contraste "
        "(bleu) ; si elle est seulement teintée, donnez-la en gris.",
    },
    "sequences_order": {
        "en": "{file}: the second channel does not look like FLAIR, another one does; check the order pre-contrast, FLAIR, "
        "post-contrast.",
        "fr": "{file} : le deuxième canal ne ressemble pas à une FLAIR, un autre si ; vérifiez l’ordre pré-contraste, "
        "FLAIR, post-contraste.",
    },
    "not_for_diagnosis": {
        "en": "Research and teaching only: not a medical device, not for diagnosis or treatment.",
        "fr": "Recherche et enseignement uniquement : ce n’est pas un dispositif médical, ni un outil de diagnostic ou "
        "de traitement.",
    },
    # What the server refuses or cannot do
    "not_an_upload": {
        "en": "Only files that this request has sent itself are read; send them again.",
        "fr": "Seuls les fichiers envoyés pour cette demande sont lus ; envoyez-les de nouveau.",
    },
    "request_refused": {
        "en": "The server does not understand this request; load the page again, or check the values that were sent.",
        "fr": "Le serveur ne comprend pas cette demande ; rechargez la page, ou vérifiez les valeurs envoyées.",
    },
    "server_error": {
        "en": "Something went wrong on the server, which has kept none of the files; try again, with fewer files if it "
        "happens once more.",
        "fr": "Une erreur s’est produite sur le serveur, qui n’a conservé aucun fichier ; réessayez, avec moins de fichiers "
        "si elle se répète.",
    },
    "server_full": {
        "en": "The server’s disk is full, so nothing was kept; try again in a few minutes.",
        "fr": "Le disque du serveur est plein ; rien n’a été conservé. Réessayez dans quelques minutes.",
    },
    "request_too_long": {
        "en": "This took longer than {minutes} minutes and was stopped; give fewer slices at a time.",
        "fr": "Le traitement a dépassé {minutes} minutes et a été arrêté ; donnez moins de coupes à la fois.",
    },
    "client_left": {
        "en": "Stopped, because nobody waits for the result any more.",
        "fr": "Arrêté, car plus personne n’attend le résultat.",
    },
    "in_line": {"en": "of {waiting} waiting", "fr": "sur {waiting} en attente"},  # after the place in the line
    "line_full": {
        "en": "{waiting} requests are waiting already; this page asks again by itself until there is room.",
        "fr": "{waiting} demandes attendent déjà ; cette page redemande d’elle-même jusqu’à ce qu’il y ait de la place.",
    },
    "upload_too_large": {
        "en": "A file is larger than {megabytes} MB; give smaller ones, or one study at a time.",
        "fr": "Un fichier dépasse {megabytes} Mo ; donnez des fichiers plus petits, ou un seul examen à la fois.",
    },
    "upload_broken_off": {
        "en": "The transfer came to a halt and was broken off; send the files again.",
        "fr": "Le transfert s’est arrêté et a été interrompu ; envoyez de nouveau les fichiers.",
    },
    "result_dropped": {
        "en": "This result had to make room for newer ones of other users; give the images again.",
        "fr": "Ce résultat a dû laisser la place à ceux, plus récents, d’autres utilisateurs ; redonnez les images.",
    },
    # Volumes and studies that cannot be used
    "not_a_nifti": {
        "en": "{file}: this is no NIfTI volume of grey values; export it again as .nii or .nii.gz.",
        "fr": "{file} : ce n’est pas un volume NIfTI en niveaux de gris ; exportez-le de nouveau en .nii ou .nii.gz.",
    },
    "volume_geometry": {
        "en": "{file}: the header gives the voxels no usable place or size; export the volume again with its geometry.",
        "fr": "{file} : l’en-tête ne donne aux voxels ni place ni taille utilisables ; exportez de nouveau le volume avec "
        "sa géométrie.",
    },
    "volume_few_slices": {
        "en": "{file}: the volume is not axial and has too few slices ({slices}; at least {least} are needed) to be resliced; give "
        "an axial series.",
        "fr": "{file} : le volume n’est pas axial et a trop peu de coupes ({slices} ; il en faut au moins {least}) pour être "
        "reformaté ; donnez une série axiale.",
    },
    "volume_colour": {
        "en": "{file}: this is a colour image (a screenshot or a map), not an MRI sequence; give the grey FLAIR series.",
        "fr": "{file} : c’est une image en couleur (capture ou carte), pas une séquence d’IRM ; donnez la série FLAIR en "
        "gris.",
    },
    "dicom_no_picture": {
        "en": "{file}: this DICOM file holds no picture but “{kind}”; it is passed over.",
        "fr": "{file} : ce fichier DICOM ne contient pas d’image mais « {kind} » ; il est ignoré.",
    },
    "dicom_contours": {
        "en": "{file}: these are contours ({kind}), which are not read; export the outline as a DICOM SEG or as a NIfTI mask.",
        "fr": "{file} : ce sont des contours ({kind}), qui ne sont pas lus ; exportez le tracé en DICOM SEG ou en masque NIfTI.",
    },
    "dicom_mosaic": {
        "en": "{file}: this is a mosaic, with all slices tiled in one picture; export the series slice by slice.",
        "fr": "{file} : c’est une mosaïque, toutes les coupes dans une seule image ; exportez la série coupe par coupe.",
    },
    "segments_unnamed": {
        "en": "{file}: of its {segments} segments none is called a tumour or a lesion; export the right one alone.",
        "fr": "{file} : aucun de ses {segments} segments n’est désigné comme tumeur ou lésion ; exportez le bon seul.",
    },
    "spacing_varies": {
        "en": "{file}: the size of a pixel differs from slice to slice ({least} to {most} mm), so the slices make no volume; "
        "export slices of one size of pixel.",
        "fr": "{file} : la taille d’un pixel change d’une coupe à l’autre ({least} à {most} mm), donc les coupes ne forment pas un "
        "volume ; exportez des coupes à taille de pixel constante.",
    },
    "dicom_modality": {
        "en": "{file}: this is not MRI (modality {modality}); give a FLAIR series of a head MRI.",
        "fr": "{file} : ce n’est pas une IRM (modalité {modality}) ; donnez une série FLAIR d’une IRM de la tête.",
    },
    "dicom_compression": {
        "en": "{file}: the compression of this DICOM file is not read; export it uncompressed or as JPEG 2000, JPEG-LS or "
        "RLE.",
        "fr": "{file} : la compression de ce fichier DICOM n’est pas lue ; exportez-le sans compression ou en JPEG 2000, "
        "JPEG-LS ou RLE.",
    },
    "zip_encrypted": {
        "en": "{file}: the zip is locked with a password; unpack it and give the files themselves.",
        "fr": "{file} : le zip est protégé par un mot de passe ; décompressez-le et donnez les fichiers.",
    },
    "zip_too_large": {
        "en": "{file}: the zip unpacks to more than {gigabytes} GB; give one study at a time.",
        "fr": "{file} : le zip décompressé dépasse {gigabytes} Go ; donnez un seul examen à la fois.",
    },
    "zip_unsafe": {
        "en": "{file}: the zip holds files that would land outside their folder; make it anew.",
        "fr": "{file} : le zip contient des fichiers qui sortiraient de leur dossier ; refaites-le.",
    },
    "zip_nested": {
        "en": "{file}: the zip holds another zip, which is passed over; unpack it and give the inner one.",
        "fr": "{file} : le zip contient un autre zip, laissé de côté ; décompressez-le et donnez celui de l’intérieur.",
    },
    "pictures_beside": {
        "en": "{file}: {pictures:picture|pictures} beside DICOM files passed over, as a disc’s logo would be; give slices by "
        "themselves.",
        "fr": "{file} : {pictures:image laissée|images laissées} de côté près de fichiers DICOM, comme un logo de disque ; "
        "donnez les coupes à part.",
    },
    "others_beside": {
        "en": "{file}: {files:volume|volumes} passed over, by name another sequence or a map, without a FLAIR of the same "
        "subject.",
        "fr": "{file} : {files:volume laissé|volumes laissés} de côté, d’après le nom une autre séquence ou une carte, sans FLAIR "
        "du même sujet.",
    },
    "outputs_beside": {
        "en": "{file}: {files:file|files} of an earlier run passed over; give a mask as ground truth to have it as that.",
        "fr": "{file} : {files:fichier d’une analyse antérieure laissé|fichiers d’une analyse antérieure laissés} de côté ; "
        "donnez un masque comme vérité terrain pour qu’il en serve.",
    },
    "nothing_inside": {
        "en": "{file}: there is no image inside; give files of these types: {types}.",
        "fr": "{file} : aucune image à l’intérieur ; donnez des fichiers de ces types : {types}.",
    },
    "too_many_files": {
        "en": "{file}: this file and those after it are too many; give at most {most} files at a time.",
        "fr": "{file} : avec ce fichier et les suivants, il y en a trop ; {most} fichiers au plus à la fois.",
    },
    # What a user should know of a volume that was used
    "volume_no_orientation": {
        "en": "{file}: the file does not say how the head lies; check that the nose points up and the patient’s right is "
        "on the left.",
        "fr": "{file} : le fichier ne dit pas comment la tête est placée ; vérifiez que le nez est en haut et la droite du "
        "patient à gauche.",
    },
    "volumes_several": {
        "en": "{file}: the file holds {volumes} volumes; check that the one shown is FLAIR.",
        "fr": "{file} : le fichier contient {volumes} volumes ; vérifiez que celui qui est affiché est bien la FLAIR.",
    },
    "dicom_no_position": {
        "en": "{file}: the headers do not say where the slices lie; they are in the order of their numbers, taken as axial, "
        "and no DICOM SEG is written.",
        "fr": "{file} : les en-têtes ne donnent pas la position des coupes ; elles suivent leurs numéros, sont supposées "
        "axiales, et aucun DICOM SEG n’est écrit.",
    },
    "dicom_one_position": {
        "en": "{file}: the headers put all slices at one place; they are in the order of their locations or numbers, taken as "
        "axial, and no DICOM SEG is written.",
        "fr": "{file} : les en-têtes placent toutes les coupes au même endroit ; elles suivent leurs emplacements ou leurs numéros, "
        "sont supposées axiales, et aucun DICOM SEG n’est écrit.",
    },
    "dicom_no_order": {
        "en": "{file}: the headers do not say where the slices, which are not axial, lie; they are in the order of their numbers, "
        "so that their first and last side may be swapped, and no DICOM SEG is written.",
        "fr": "{file} : les en-têtes ne disent pas où se trouvent les coupes, qui ne sont pas axiales ; elles suivent leurs numéros, "
        "leur premier et leur dernier côté peuvent donc être inversés, et aucun DICOM SEG n’est écrit.",
    },
    "dicom_no_spacing": {
        "en": "{file}: the headers do not give the size of a pixel; 1 mm is assumed, so no length, area or volume can be "
        "trusted.",
        "fr": "{file} : les en-têtes ne donnent pas la taille d’un pixel ; 1 mm est supposé, donc aucune longueur, aucune "
        "surface ni aucun volume n’est fiable.",
    },
    "series_duplicates": {
        "en": "{file}: some slices come several times at one position; the first of each is used.",
        "fr": "{file} : des coupes se répètent à une même position ; la première de chacune est utilisée.",
    },
    "no_thickness": {
        "en": "{file}: the file does not give the thickness of a slice, so lengths, areas and volumes stay in pixels.",
        "fr": "{file} : le fichier ne donne pas l’épaisseur des coupes ; longueurs, surfaces et volumes restent en pixels.",
    },
    "distance_unclear": {
        "en": "{file}: the headers say that slices of {thick} mm are {between} mm apart, but not where they lie; lengths, areas "
        "and volumes stay in pixels.",
        "fr": "{file} : selon les en-têtes, des coupes de {thick} mm sont espacées de {between} mm, mais leur position manque ; "
        "longueurs, surfaces et volumes restent en pixels.",
    },
    "slices_apart": {
        "en": "{file}: the slices are {mm} mm apart but {thick} mm thick; some may be missing, and every pixel counts for {mm} mm.",
        "fr": "{file} : les coupes sont espacées de {mm} mm mais épaisses de {thick} mm ; il peut en manquer, et chaque pixel "
        "compte pour {mm} mm.",
    },
    "slices_slanted": {
        "en": "{file}: the slices are stacked at a slant of {degrees}°, as with a tilted gantry; some programs show image and "
        "mask without it.",
        "fr": "{file} : les coupes sont empilées avec une inclinaison de {degrees}°, comme avec un statif incliné ; certains "
        "logiciels affichent image et masque sans elle.",
    },
    "slices_far": {
        "en": "{file}: the slices are {mm} mm apart; some may be missing, and every pixel counts for {mm} mm.",
        "fr": "{file} : les coupes sont espacées de {mm} mm ; il peut en manquer, et chaque pixel compte pour {mm} mm.",
    },
    "series_missing": {
        "en": "{file}: {slices:slice is|slices are} missing from the series; the place stays blank, and volumes leave it out.",
        "fr": "{file} : il manque {slices:coupe|coupes} dans la série ; la place reste vide et n’entre pas dans les volumes.",
    },
    "series_gaps": {
        "en": "{file}: the slices are not evenly spaced ({gaps:gap|gaps}); slices may be missing, and volumes are approximate.",
        "fr": "{file} : les coupes ne sont pas régulièrement espacées ({gaps:écart|écarts}) ; il peut en manquer, et les volumes "
        "sont approximatifs.",
    },
    "series_damaged": {
        "en": "{file}: {slices:slice of the series is|slices of the series are} damaged; the place stays blank, and volumes "
        "leave it out.",
        "fr": "{file} : {slices:coupe de la série est abîmée|coupes de la série sont abîmées} ; la place reste vide et n’entre "
        "pas dans les volumes.",
    },
    "series_unread": {
        "en": "{file}: {files:file beside this series is|files beside this series are} damaged; if slices of it are among them, "
        "volumes leave them out.",
        "fr": "{file} : {files:fichier voisin de cette série est abîmé|fichiers voisins de cette série sont abîmés} ; si des "
        "coupes en font partie, les volumes ne les comptent pas.",
    },
    "burned_in": {
        "en": "{file}: the header says that text is burned into the picture; it may show the patient’s name.",
        "fr": "{file} : l’en-tête indique du texte incrusté dans l’image ; le nom du patient peut s’y trouver.",
    },
    "not_finite": {
        "en": "{file}: {count:voxel holds|voxels hold} no number and counted as dark; check that none of them lies in the brain.",
        "fr": "{file} : {count:voxel sans valeur, pris comme sombre|voxels sans valeur, pris comme sombres} ; vérifiez qu’aucun n’est "
        "dans le cerveau.",
    },
    "text_in_corner": {
        "en": "{file}: there seems to be text in a corner of the picture; it may show the patient’s name.",
        "fr": "{file} : il semble y avoir du texte dans un coin de l’image ; le nom du patient peut s’y trouver.",
    },
    "role_unknown": {
        "en": "{file}: its name does not say which sequence it is; it is taken as FLAIR, check that it is.",
        "fr": "{file} : son nom ne dit pas de quelle séquence il s’agit ; elle est prise pour FLAIR, vérifiez-le.",
    },
    "named_other": {
        "en": "{file}: its name says another sequence than FLAIR; it is taken as FLAIR, check that it is.",
        "fr": "{file} : son nom annonce une autre séquence que FLAIR ; elle est prise pour FLAIR, vérifiez-le.",
    },
    "no_flair": {
        "en": "{file}: no series calls itself FLAIR; this one is used, check that it is FLAIR.",
        "fr": "{file} : aucune série ne se dit FLAIR ; celle-ci est utilisée, vérifiez qu’elle est FLAIR.",
    },
    "flair_several": {
        "en": "{file}: {count} series call themselves FLAIR; this one is used, choose another if it is not the right one.",
        "fr": "{file} : {count} séries se disent FLAIR ; celle-ci est utilisée, choisissez-en une autre si besoin.",
    },
    "masks_united": {
        "en": "{file}: {count} masks of this scan are united as the ground truth; give one alone if they are not all lesion.",
        "fr": "{file} : {count} masques de cet examen sont réunis en vérité terrain ; n’en donnez qu’un s’ils ne sont pas tous "
        "de la lésion.",
    },
    "mask_several": {
        "en": "{file}: {count} masks were found; this one is the ground truth, drop another below to have that instead.",
        "fr": "{file} : {count} masques trouvés ; celui-ci sert de vérité terrain, déposez-en un autre ci-dessous au besoin.",
    },
    "segments_taken": {
        "en": "{file}: {taken:segment|segments} of {segments} taken as the lesion: {which}.",
        "fr": "{file} : {taken:segment pris|segments pris} sur {segments} comme lésion : {which}.",
    },
    "segment_no_lesion": {
        "en": "{file}: the only segment, {which}, does not call itself a lesion; check that it is the ground truth.",
        "fr": "{file} : l’unique segment, {which}, ne se dit pas lésion ; vérifiez qu’il s’agit bien de la vérité terrain.",
    },
    "sequence_apart": {
        "en": "{file}: this sequence does not cover {other}; it is left out.",
        "fr": "{file} : cette séquence ne recouvre pas {other} ; elle est laissée de côté.",
    },
    "border": {
        "en": "{file}: the slice lies on a page or has a margin, which is taken as air; check that nothing of the head was "
        "taken with it.",
        "fr": "{file} : la coupe est posée sur une page ou bordée d’une marge, prise pour de l’air ; vérifiez que rien de la "
        "tête n’a été pris avec.",
    },
    "several_heads": {
        "en": "{file}: the picture shows several heads beside each other, too small to be outlined reliably; give each slice "
        "as a picture of its own.",
        "fr": "{file} : l’image montre plusieurs têtes côte à côte, trop petites pour être délimitées de façon fiable ; donnez "
        "chaque coupe dans sa propre image.",
    },
    "first_frame": {
        "en": "{file}: the picture is animated; only the first of its {frames} frames is read. Give each slice as a picture of "
        "its own, or all as a TIFF.",
        "fr": "{file} : l’image est animée ; seule la première de ses {frames} images est lue. Donnez chaque coupe dans sa "
        "propre image, ou toutes dans un TIFF.",
    },
    "channels_as_slices": {
        "en": "{file}: the file calls its {channels} images channels; they are read as slices, check that they are.",
        "fr": "{file} : le fichier présente ses {channels} images comme des canaux ; elles sont lues comme des coupes, vérifiez "
        "qu’elles en sont.",
    },
    "times_as_slices": {
        "en": "{file}: the file calls its {times} images points in time; they are read as slices, check that they are.",
        "fr": "{file} : le fichier présente ses {times} images comme des instants successifs ; elles sont lues comme des coupes, "
        "vérifiez qu’elles en sont.",
    },
    "first_time": {
        "en": "{file}: the file holds {times} points in time; only the slices of the first are read.",
        "fr": "{file} : le fichier contient {times} instants successifs ; seules les coupes du premier sont lues.",
    },
    "volume_unit": {
        "en": "{file}: the unit of length in the header cannot be right for a head; millimetres are assumed, check the volumes.",
        "fr": "{file} : l’unité de longueur de l’en-tête ne peut pas convenir à une tête ; le millimètre est supposé, vérifiez "
        "les volumes.",
    },
    "volume_mirrored": {
        "en": "{file}: the header contradicts itself on left and right (sform and qform are mirror images); the sform is used, "
        "check the sides.",
        "fr": "{file} : l’en-tête se contredit sur la gauche et la droite (sform et qform sont en miroir) ; la sform est "
        "utilisée, vérifiez les côtés.",
    },
    "mask_not_finite": {
        "en": "{file}: {count:voxel of the mask holds|voxels of the mask hold} no number and counted as background.",
        "fr": "{file} : {count:voxel du masque sans valeur, compté comme fond|voxels du masque sans valeur, comptés comme fond}.",
    },
    "mask_one_hot": {
        "en": "{file}: the mask holds {volumes} volumes; the one that is the background of the others is left out, the others "
        "are united.",
        "fr": "{file} : le masque contient {volumes} volumes ; celui qui est le fond des autres est laissé de côté, les autres "
        "sont réunis.",
    },
    "mask_united": {
        "en": "{file}: the mask holds {volumes} volumes; they are united, check that all of them mark the lesion.",
        "fr": "{file} : le masque contient {volumes} volumes ; ils sont réunis, vérifiez que tous marquent la lésion.",
    },
    "mask_numbered": {
        "en": "{file}: the mask has {labels} whole values, which are taken as labels: all above 0 count; check that it is no image.",
        "fr": "{file} : le masque a {labels} valeurs entières, prises pour des étiquettes : tout ce qui dépasse 0 compte ; "
        "vérifiez que ce n’est pas une image.",
    },
    "mask_without_geometry": {
        "en": "{file}: the mask’s header does not say where it lies (no or a unit affine), but it has as many voxels as {other}; "
        "it is laid on it voxel by voxel.",
        "fr": "{file} : l’en-tête du masque ne dit pas où il se trouve (affine absente ou unité), mais il a autant de voxels que "
        "{other} ; il lui est superposé voxel par voxel.",
    },
    "mask_nowhere": {
        "en": "{file}: the mask’s header does not say where it lies (no or a unit affine), and it has not as many voxels as "
        "{other}; save it with the geometry of its image.",
        "fr": "{file} : l’en-tête du masque ne dit pas où il se trouve (affine absente ou unité), et il n’a pas autant de voxels "
        "que {other} ; enregistrez-le avec la géométrie de son image.",
    },
    "mask_outside": {
        "en": "{file}: {percent} % of the mask lies outside of {other}; check that both belong together.",
        "fr": "{file} : {percent} % du masque se trouve hors de {other} ; vérifiez que les deux vont ensemble.",
    },
    "mask_resampled": {
        "en": "{file}: the mask lies on another grid than {other}; it is resampled (nearest neighbour), scores are "
        "approximate.",
        "fr": "{file} : le masque a une autre grille que {other} ; il est rééchantillonné (plus proche voisin), les scores "
        "sont approximatifs.",
    },
    "mask_by_voxel": {
        "en": "{file}: the mask lies elsewhere than {other} but has as many voxels; it is laid on it voxel by voxel.",
        "fr": "{file} : le masque est situé ailleurs que {other} mais a autant de voxels ; il lui est superposé voxel par "
        "voxel.",
    },
    "mask_graded": {
        "en": "{file}: the mask is not of plain labels but of shades or fractions; what is at least {cut} counts.",
        "fr": "{file} : le masque n’est pas fait de simples étiquettes mais de nuances ou de fractions ; ce qui atteint {cut} "
        "compte.",
    },
    "mask_covers": {
        "en": "{file}: the mask covers {slices:slice|slices} nearly whole or up to the corners; check that it is not inverted, "
        "and that its background is black.",
        "fr": "{file} : le masque couvre {slices:coupe|coupes} presque en entier ou jusqu’aux coins ; vérifiez qu’il n’est pas "
        "inversé et que son fond est noir.",
    },
    "plane_coronal": {
        "en": "{file}: the series is coronal; it is resliced to axial with pixels of up to {mm} mm, and results are less "
        "reliable.",
        "fr": "{file} : la série est coronale ; elle est reformatée en axial avec des pixels allant jusqu’à {mm} mm, et les "
        "résultats sont moins fiables.",
    },
    "plane_sagittal": {
        "en": "{file}: the series is sagittal; it is resliced to axial with pixels of up to {mm} mm, and results are less "
        "reliable.",
        "fr": "{file} : la série est sagittale ; elle est reformatée en axial avec des pixels allant jusqu’à {mm} mm, et "
        "les résultats sont moins fiables.",
    },
    "plane_tilted": {
        "en": "{file}: the slices are tilted by {degrees}° against the axial plane; results are less reliable.",
        "fr": "{file} : les coupes sont inclinées de {degrees}° par rapport au plan axial ; les résultats sont moins fiables.",
    },
    "looks_like_ct": {
        "en": "{file}: the intensities are those of a CT, not of an MRI.",
        "fr": "{file} : les intensités sont celles d’un scanner, pas d’une IRM.",
    },
    "looks_like_mask": {
        "en": "{file}: there are only a few intensities, as in a mask; give the FLAIR image itself.",
        "fr": "{file} : il n’y a que quelques intensités, comme dans un masque ; donnez l’image FLAIR elle-même.",
    },
    "not_a_head": {
        "en": "{file}: this does not look like a head MRI (size or background); nothing found there can be trusted.",
        "fr": "{file} : cela ne ressemble pas à une IRM de la tête (taille ou fond) ; rien de ce qui y est trouvé n’est "
        "fiable.",
    },
    # The page
    "tagline": {
        "en": "Outlines the FLAIR abnormality of a suspected lower-grade glioma, slice by slice.",
        "fr": "Délimite l’anomalie FLAIR en cas de suspicion de gliome de bas grade, coupe par coupe.",
    },
    "language": {"en": "Language", "fr": "Langue"},
    "scan": {"en": "MRI slices or a study", "fr": "Coupes d’IRM ou examen"},
    "reference": {"en": "Ground truth (optional)", "fr": "Vérité terrain (facultative)"},
    "hint": {
        "en": "A DICOM series, NIfTI volumes, or axial slices as PNG, JPEG or TIFF, alone or in a zip; FLAIR is enough. "
        "Slices in colour: pre-contrast, FLAIR, post-contrast. Ground truth is matched by name: `NAME_mask` goes with `NAME`.",
        "fr": "Une série DICOM, des volumes NIfTI, ou des coupes axiales en PNG, JPEG ou TIFF, seuls ou dans un zip ; la "
        "FLAIR suffit. Coupes en couleur : pré-contraste, FLAIR, post-contraste. La vérité terrain est associée par son nom : `NOM_mask` va avec `NOM`.",
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
        "en": "Uploaded files are deleted as soon as they are read (a study with several sequences: after ten minutes at "
        "most, so that you can choose others). Results stay in memory for this tab alone, at most "
        "one hour after their last change.",
        "fr": "Les fichiers envoyés sont effacés dès leur lecture (un examen à plusieurs séquences : après dix minutes au "
        "plus, pour que vous puissiez en choisir d’autres). Les résultats restent en mémoire pour ce seul onglet, "
        "une heure au plus après leur dernier changement.",
    },
    "nothing_yet": {
        "en": "Drop files into “MRI slices or a study”, or click a phantom.",
        "fr": "Déposez des fichiers dans « Coupes d’IRM ou examen », ou cliquez sur un fantôme.",
    },
    "done": {
        "en": "{images:image|images}, {slices:slice|slices} outlined by {model}.",
        "fr": "{images:image|images}, {slices:coupe délimitée|coupes délimitées} par {model}.",
    },
    "scored": {
        "en": "Ground truth found for {slices:slice|slices}.",
        "fr": "Vérité terrain trouvée pour {slices:coupe|coupes}.",
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
        "en": "No image was given; send at least one PNG, JPEG, TIFF, NIfTI or DICOM file, or a zip of them.",
        "fr": "Aucune image reçue ; envoyez au moins un fichier PNG, JPEG, TIFF, NIfTI ou DICOM, ou un zip.",
    },
    "reading": {"en": "Reading", "fr": "Lecture"},
    "segmenting": {"en": "Outlining", "fr": "Délimitation"},
    "choose_flair": {"en": "FLAIR", "fr": "FLAIR"},
    "choose_pre": {"en": "Pre-contrast", "fr": "Pré-contraste"},
    "choose_post": {"en": "Post-contrast", "fr": "Post-contraste"},
    "choose_info": {
        "en": "Found by names and descriptions; correct it here within ten minutes.",
        "fr": "Reconnues à leurs noms et descriptions ; à corriger ici dans les dix minutes.",
    },
    "choose_again": {
        "en": "The files of this study are no longer held; give them again to choose other sequences.",
        "fr": "Les fichiers de cet examen ne sont plus conservés ; redonnez-les pour choisir d’autres séquences.",
    },
    "none": {"en": "none", "fr": "aucune"},
    "phantom_single": {"en": "One slice", "fr": "Une coupe"},
    "phantom_series": {"en": "A series of 12", "fr": "Une série de 12"},
    "phantom_healthy": {"en": "Without a lesion", "fr": "Sans lésion"},
    # The viewer
    "panel_image": {"en": "Image", "fr": "Image"},
    "panel_prediction": {"en": "Prediction", "fr": "Prédiction"},
    "panel_reference": {"en": "Ground truth", "fr": "Vérité terrain"},
    "panel_outlines": {"en": "Both outlines", "fr": "Les deux contours"},
    "panel_agreement": {"en": "Agreement", "fr": "Concordance"},
    "panel_uncertainty": {"en": "Uncertainty", "fr": "Incertitude"},
    "panel_axial": {"en": "Axial", "fr": "Axiale"},
    "panel_coronal": {"en": "Coronal", "fr": "Coronale"},
    "panel_sagittal": {"en": "Sagittal", "fr": "Sagittale"},
    "panel_surface": {"en": "Surface", "fr": "Surface"},
    "tools_layout": {"en": "Layout", "fr": "Disposition"},
    "tools_layers": {"en": "Layers", "fr": "Calques"},
    "tools_style": {"en": "Fill or outline", "fr": "Aplat ou contour"},
    "tools_channel": {"en": "Sequence", "fr": "Séquence"},
    "tools_correct": {"en": "Correct by hand", "fr": "Corriger à la main"},
    "tools_out": {"en": "Save, copy, help", "fr": "Enregistrer, copier, aide"},
    "layout_side": {"en": "Side by side", "fr": "Côte à côte"},
    "layout_overlay": {"en": "Overlay", "fr": "Superposition"},
    "layout_swipe": {"en": "Swipe", "fr": "Rideau"},
    "layout_planes": {"en": "3 planes", "fr": "3 plans"},
    "style_fill": {"en": "Fill", "fr": "Aplat"},
    "style_outline": {"en": "Outline", "fr": "Contour"},
    "channel_pre": {"en": "Pre", "fr": "Pré"},
    "channel_flair": {"en": "FLAIR", "fr": "FLAIR"},
    "channel_post": {"en": "Post", "fr": "Post"},
    "brush": {"en": "Brush", "fr": "Pinceau"},
    "eraser": {"en": "Eraser", "fr": "Gomme"},
    "undo": {"en": "Undo", "fr": "Annuler"},
    "save": {"en": "Save PNG", "fr": "Enregistrer le PNG"},
    "copy": {"en": "Copy report", "fr": "Copier le rapport"},
    "reset": {"en": "Reset view", "fr": "Vue initiale"},
    "help": {"en": "Keys and mouse", "fr": "Clavier et souris"},
    "close": {"en": "Close", "fr": "Fermer"},
    "saved": {"en": "The picture is saved.", "fr": "L’image est enregistrée."},
    "copied": {"en": "The report is on the clipboard.", "fr": "Le rapport est dans le presse-papiers."},
    # What a button or a dial does, where its name alone may leave one wondering
    "tip_prediction": {"en": "The network’s outline at this threshold", "fr": "Le contour du réseau à ce seuil"},
    "tip_agreement": {
        "en": "Prediction against ground truth: hit, missed, extra",
        "fr": "Prédiction face à la vérité terrain : trouvé, manqué, en trop",
    },
    "tip_uncertainty": {
        "en": "Where the outline at 0.5 is most likely to be wrong",
        "fr": "Où le contour à 0,5 risque le plus d’être faux",
    },
    "tip_swipe": {
        "en": "Two pictures in one, with a divider to drag",
        "fr": "Deux images en une, séparées par un rideau à déplacer",
    },
    "tip_planes": {
        "en": "Axial, coronal and sagittal planes, and the surface of the outline",
        "fr": "Plans axial, coronal et sagittal, et surface du contour",
    },
    "tip_brush": {"en": "Add to the prediction by hand", "fr": "Compléter la prédiction à la main"},
    "tip_eraser": {"en": "Take away from the prediction by hand", "fr": "Retirer de la prédiction à la main"},
    "tip_reset": {
        "en": "Zoom, place, window and level as at first",
        "fr": "Zoom, position, fenêtre et niveau du début",
    },
    "tip_opacity": {"en": "Of the filled layers", "fr": "Des calques en aplat"},
    "tip_brush_size": {"en": "In pixels across; keys [ and ]", "fr": "En pixels de large ; touches [ et ]"},
    "tip_window_width": {
        "en": "Contrast: right mouse button to the sides, or Shift and arrows",
        "fr": "Contraste : bouton droit de la souris vers les côtés, ou Maj et flèches",
    },
    "tip_window_level": {
        "en": "Brightness: right mouse button up and down, or Shift and arrows",
        "fr": "Luminosité : bouton droit de la souris vers le haut et le bas, ou Maj et flèches",
    },
    "opacity": {"en": "Opacity", "fr": "Opacité"},
    "window_width": {"en": "Window", "fr": "Fenêtre"},
    "window_level": {"en": "Level", "fr": "Niveau"},
    "brush_size": {"en": "Brush size", "fr": "Taille du pinceau"},
    "dial_swipe": {"en": "Place of the divider", "fr": "Position du rideau"},
    "dial_coronal": {"en": "Coronal plane", "fr": "Plan coronal"},
    "dial_sagittal": {"en": "Sagittal plane", "fr": "Plan sagittal"},
    "dial_turn": {"en": "Turn the surface", "fr": "Tourner la surface"},
    "dial_tilt": {"en": "Tilt the surface", "fr": "Incliner la surface"},
    "swipe_sides": {"en": "{left} | {right}", "fr": "{left} | {right}"},
    "side_right": {"en": "R", "fr": "D"},
    "side_left": {"en": "L", "fr": "G"},
    "side_front": {"en": "A", "fr": "A"},
    "side_back": {"en": "P", "fr": "P"},
    "side_up": {"en": "S", "fr": "S"},
    "previous_finding": {
        "en": "Previous slice with an outline, or unsure (P)",
        "fr": "Coupe précédente avec un contour, ou incertaine (P)",
    },
    "next_finding": {
        "en": "Next slice with an outline, or unsure (N)",
        "fr": "Coupe suivante avec un contour, ou incertaine (N)",
    },
    "no_finding": {
        "en": "No further slice with an outline, or unsure, in this direction.",
        "fr": "Aucune autre coupe avec un contour, ou incertaine, dans cette direction.",
    },
    "strip": {
        "en": "Below: predicted area of each slice ({filled} of {slices} with an outline), the ground truth’s as a line. Above: "
        "uncertainty; a dot marks an unsure slice ({unsure}).",
        "fr": "En bas : surface prédite de chaque coupe ({filled} sur {slices} avec un contour), celle de la vérité terrain en "
        "trait. En haut : incertitude ; un point marque une coupe incertaine ({unsure}).",
    },
    "curve": {"en": "Dice against threshold", "fr": "Dice selon le seuil"},
    "curve_label": {
        "en": "Dice of all scored slices for each threshold (thick), of this slice (thin), with marks at 0.5, at the best "
        "threshold where it is known, and at the current one; click to set the threshold.",
        "fr": "Dice de toutes les coupes notées pour chaque seuil (trait épais), de cette coupe (trait fin), avec des repères "
        "à 0,5, au meilleur seuil s’il est connu et au seuil actuel ; cliquez pour régler le seuil.",
    },
    "best_mark": {"en": "best in validation {threshold}", "fr": "meilleur en validation {threshold}"},
    "caution": {
        "en": "The threshold is not 0.5: if it was chosen by looking at this ground truth, the scores shown flatter the "
        "network.",
        "fr": "Le seuil n’est pas 0,5 : s’il a été choisi en regardant cette vérité terrain, les scores affichés flattent le "
        "réseau.",
    },
    "corrected_note": {
        "en": "Corrected by hand: {pixels:pixel|pixels}. Scores, volumes and the download follow; the server keeps nothing of it.",
        "fr": "Corrigé à la main : {pixels:pixel|pixels}. Scores, volumes et téléchargement en tiennent compte ; le serveur n’en "
        "garde rien.",
    },
    "expected": {"en": "Expected Dice (without ground truth)", "fr": "Dice attendu (sans vérité terrain)"},
    "expected_note": {
        "en": "Expected Dice: what the model’s own probabilities say of this outline; right only as far as they are. "
        "Uncertainty: where the outline at 0.5 may be wrong; a guide, no exact chance.",
        "fr": "Dice attendu : ce que les probabilités du modèle disent de ce contour ; il ne vaut que ce qu’elles valent. "
        "Incertitude : où le contour à 0,5 peut être faux ; un repère, pas un risque exact.",
    },
    "proportions_note": {
        "en": "The distance between slices is not known: proportions of the planes and the surface are guessed.",
        "fr": "La distance entre les coupes est inconnue : les proportions des plans et de la surface sont supposées.",
    },
    "corrected_area": {"en": "Corrected by hand", "fr": "Corrigé à la main"},
    "unit_area": {"en": "mm²", "fr": "mm²"},
    "unit_volume": {"en": "mL", "fr": "mL"},
    "dice": {"en": "Dice", "fr": "Dice"},
    "iou": {"en": "IoU", "fr": "IoU"},
    "model": {"en": "Model", "fr": "Modèle"},
    "slice_of": {"en": "slice {slice} of {slices}", "fr": "coupe {slice} sur {slices}"},
    "line": {"en": "{what}: {values}", "fr": "{what} : {values}"},
    "help_slices": {
        "en": "Arrows, Page up / down, Home, End: change slice",
        "fr": "Flèches, Page préc. / suiv., Début, Fin : changer de coupe",
    },
    "help_findings": {
        "en": "N, P: next, previous slice with an outline, or unsure",
        "fr": "N, P : coupe suivante, précédente avec un contour, ou incertaine",
    },
    "help_layers": {
        "en": "1 to 5: image, prediction, ground truth, agreement, uncertainty on or off",
        "fr": "1 à 5 : afficher ou masquer image, prédiction, vérité terrain, concordance, incertitude",
    },
    "help_blink": {
        "en": "Space: hide every layer while it is held",
        "fr": "Espace : masquer tous les calques tant que la touche est enfoncée",
    },
    "help_layout": {"en": "V, C: next layout, next sequence", "fr": "V, C : disposition suivante, séquence suivante"},
    "help_style": {"en": "F: fill or outline", "fr": "F : aplat ou contour"},
    "help_threshold": {"en": ", and .: threshold down and up by 0.01", "fr": ", et . : seuil plus bas, plus haut de 0,01"},
    "help_zoom": {
        "en": "+, −, R: zoom in, zoom out, reset the view; Ctrl + arrows: move the picture",
        "fr": "+, −, R : agrandir, réduire, vue initiale ; Ctrl + flèches : déplacer l’image",
    },
    "help_window": {
        "en": "Shift + arrows: window (left, right) and level (up, down)",
        "fr": "Maj + flèches : fenêtre (gauche, droite) et niveau (haut, bas)",
    },
    "help_brush": {
        "en": "B, E: brush, eraser; [ and ]: size; arrows and Enter paint without a mouse; Z: undo; Escape: done",
        "fr": "B, E : pinceau, gomme ; [ et ] : taille ; flèches et Entrée pour peindre sans souris ; Z : annuler ; Échap : fini",
    },
    "help_out": {"en": "S, T: save a PNG, copy the report", "fr": "S, T : enregistrer un PNG, copier le rapport"},
    "help_mouse": {
        "en": "Mouse: the wheel changes slice, with Ctrl or Shift it zooms; right button: window and level; middle button, or "
        "left when zoomed: move; double click: reset",
        "fr": "Souris : la molette change de coupe, avec Ctrl ou Maj elle zoome ; bouton droit : fenêtre et niveau ; bouton du "
        "milieu, ou gauche si zoomé : déplacer ; double clic : vue initiale",
    },
    "help_touch": {
        "en": "Touch: two fingers zoom and move; one finger moves a zoomed picture, else it scrolls the page; on planes, strip "
        "and curve tap, or drag sideways",
        "fr": "Tactile : deux doigts zooment et déplacent ; un doigt déplace une image zoomée, sinon il fait défiler la page ; "
        "sur les plans, la frise et la courbe, touchez ou glissez de côté",
    },
    "hit": {"en": "hit", "fr": "trouvé"},
    "missed": {"en": "missed", "fr": "manqué"},
    "extra": {"en": "extra", "fr": "en trop"},
    "slice": {"en": "Slice", "fr": "Coupe"},
    "this_slice": {"en": "This slice", "fr": "Cette coupe"},
    "this_series": {"en": "This series", "fr": "Cette série"},
    "all_slices": {"en": "All slices", "fr": "Toutes les coupes"},
    "viewer": {"en": "Slices and scores", "fr": "Coupes et scores"},
    "precision": {"en": "Precision", "fr": "Précision"},
    "recall": {"en": "Recall", "fr": "Rappel"},
    "area": {"en": "Predicted area", "fr": "Surface prédite"},
    "reference_area": {"en": "Ground-truth area", "fr": "Surface de la vérité terrain"},
    "predicted_volume": {"en": "Predicted volume", "fr": "Volume prédit"},
    "pixels": {"en": "pixels", "fr": "pixels"},
    "convention": {
        "en": "Dice and IoU are 1 where prediction and ground truth are both empty; only slices with a ground truth are "
        "scored.",
        "fr": "Dice et IoU valent 1 si prédiction et vérité terrain sont vides toutes deux ; seules les coupes avec "
        "vérité terrain sont notées.",
    },
    "picture_of": {"en": "{panel} of {label}", "fr": "{panel} de {label}"},
    # The report on paper
    "report_title": {"en": "Outline of the FLAIR abnormality", "fr": "Délimitation de l’anomalie FLAIR"},
    "report_slices": {"en": "{slices:slice|slices}", "fr": "{slices:coupe|coupes}"},
    "report_voxels": {"en": "voxels of {voxel} mm", "fr": "voxels de {voxel} mm"},
    "report_threshold": {"en": "threshold {threshold}", "fr": "seuil {threshold}"},
    "report_slice": {"en": "Slice {slice}", "fr": "Coupe {slice}"},
    "report_in_slice": {"en": "{value} (slice {slice})", "fr": "{value} (coupe {slice})"},
    "report_nothing": {
        "en": "Nothing reaches this threshold.",
        "fr": "Rien n’atteint ce seuil.",
    },
    "report_more": {"en": "and {more} more, see report.json", "fr": "et {more} de plus, voir report.json"},
    "report_all": {"en": "All together", "fr": "Tous ensemble"},
    "report_warnings": {"en": "Beware", "fr": "À vérifier"},
    "report_model": {"en": "Model {model}, SHA-256 {sha}", "fr": "Modèle {model}, SHA-256 {sha}"},
    "report_conventions": {
        "en": "Slices are numbered from the feet up in a volume, else as in the file. Diameters are the longest line across "
        "one area in one axial slice and the longest at a right angle to it. Hausdorff 95 and surface Dice compare the "
        "surfaces of both volumes. A number of this page is as good as its outline: check it.",
        "fr": "Les coupes d’un volume sont numérotées des pieds vers la tête, sinon comme dans le fichier. Les diamètres "
        "sont la plus longue ligne à travers une zone d’une coupe axiale et la plus longue qui lui soit perpendiculaire. "
        "Hausdorff 95 et Dice de surface comparent les surfaces des deux volumes. Un chiffre de cette page vaut ce que "
        "vaut son contour : vérifiez-le.",
    },
    "measures": {"en": "Measures", "fr": "Mesures"},
    "file": {"en": "File", "fr": "Fichier"},
    "slices": {"en": "Slices", "fr": "Coupes"},
    "volume": {"en": "Volume", "fr": "Volume"},
    "report_area": {"en": "Area", "fr": "Surface"},
    "largest_area": {"en": "Largest area", "fr": "Surface maximale"},
    "diameters": {"en": "Diameters", "fr": "Diamètres"},
    "hd95": {"en": "Hausdorff 95", "fr": "Hausdorff 95"},
    "surface_dice": {"en": "Surface Dice, 2 mm", "fr": "Dice de surface, 2 mm"},
    "volume_difference": {"en": "Volume difference", "fr": "Écart de volume"},
    # Outputs that could not be made
    "seg_no_position": {
        "en": "{file}: no DICOM SEG is written, because the headers do not say where each slice lies; use the NIfTI mask "
        "instead.",
        "fr": "{file} : pas de DICOM SEG, car les en-têtes ne disent pas où se trouve chaque coupe ; utilisez plutôt le "
        "masque NIfTI.",
    },
    "seg_no_uid": {
        "en": "{file}: no DICOM SEG is written, because the headers lack an identifier (UID) that one must refer to; use "
        "the NIfTI mask instead.",
        "fr": "{file} : pas de DICOM SEG, car il manque aux en-têtes un identifiant (UID) auquel se référer ; utilisez "
        "plutôt le masque NIfTI.",
    },
    "seg_shared_uids": {
        "en": "{file}: no DICOM SEG is written, because several files have one and the same identifier (SOPInstanceUID); "
        "use the NIfTI mask instead.",
        "fr": "{file} : pas de DICOM SEG, car plusieurs fichiers portent le même identifiant (SOPInstanceUID) ; utilisez "
        "plutôt le masque NIfTI.",
    },
    "seg_frames_of_reference": {
        "en": "{file}: no DICOM SEG is written, because its slices name several frames of reference, as if each had been "
        "taken anew; use the NIfTI mask instead.",
        "fr": "{file} : pas de DICOM SEG, car ses coupes nomment plusieurs repères (FrameOfReferenceUID), comme si "
        "chacune venait d’un autre examen ; utilisez plutôt le masque NIfTI.",
    },
    "seg_uneven": {
        "en": "{file}: no DICOM SEG is written, because its slices are too unevenly spaced; use the NIfTI mask instead.",
        "fr": "{file} : pas de DICOM SEG, car ses coupes sont trop irrégulièrement espacées ; utilisez plutôt le masque "
        "NIfTI.",
    },
    "seg_off_grid": {
        "en": "{file}: no DICOM SEG is written, because its slices do not lie on one grid; use the NIfTI mask instead.",
        "fr": "{file} : pas de DICOM SEG, car ses coupes ne se trouvent pas sur une même grille ; utilisez plutôt le "
        "masque NIfTI.",
    },
    "seg_more_frames": {
        "en": "{file}: no DICOM SEG is written, because its files hold more pictures than the series that is outlined; "
        "use the NIfTI mask instead.",
        "fr": "{file} : pas de DICOM SEG, car ses fichiers contiennent plus d’images que la série délimitée ; utilisez "
        "plutôt le masque NIfTI.",
    },
    "seg_refused": {
        "en": "{file}: no DICOM SEG is written, because the writer of such files refused these headers; use the NIfTI "
        "mask instead.",
        "fr": "{file} : pas de DICOM SEG, car le module qui écrit ces fichiers a refusé ces en-têtes ; utilisez plutôt le "
        "masque NIfTI.",
    },
    "output_no_room": {
        "en": "{file}: not written, because the disk is full; make room and start again.",
        "fr": "{file} : fichier non écrit, car le disque est plein ; faites de la place et recommencez.",
    },
    "output_not_allowed": {
        "en": "{file}: not written, because writing there is not allowed; choose another folder.",
        "fr": "{file} : fichier non écrit, car l’écriture y est interdite ; choisissez un autre dossier.",
    },
    "output_name_refused": {
        "en": "{file}: not written, because the disk takes no such name; rename the input and start again.",
        "fr": "{file} : fichier non écrit, car le disque refuse ce nom ; renommez l’image et recommencez.",
    },
    "output_failed": {
        "en": "{file}: could not be made, for a reason that is not known; no other output depends on it.",
        "fr": "{file} : ce fichier n’a pas pu être produit, pour une raison inconnue ; aucun autre résultat n’en dépend.",
    },
}
# French sets a no-break space before these marks and inside its quotes; it is put here, where no hand forgets it.
for _entry in CATALOGUE.values():
    _entry["fr"] = re.sub(r" (?=[:;!?»])|(?<=«) ", "\N{NO-BREAK SPACE}", _entry["fr"])

VIEWER_KEYS = (
    "all_slices", "area", "best_mark", "brush", "brush_size", "caution", "channel_flair", "channel_post",
    "channel_pre", "close", "convention", "copied", "copy", "corrected_area", "corrected_note", "curve",
    "curve_label", "dial_coronal", "dial_sagittal", "dial_swipe", "dial_tilt", "dial_turn", "dice", "eraser",
    "expected", "expected_note", "extra", "help", "help_blink", "help_brush", "help_findings", "help_layers",
    "help_layout", "help_mouse", "help_out", "help_slices", "help_style", "help_threshold", "help_touch",
    "help_window", "help_zoom", "hit", "iou", "layout_overlay", "layout_planes", "layout_side", "layout_swipe",
    "line", "missed", "model", "next_finding", "no_finding", "not_for_diagnosis", "nothing_yet", "opacity",
    "panel_agreement", "panel_axial", "panel_coronal", "panel_image", "panel_outlines", "panel_prediction",
    "panel_reference", "panel_sagittal", "panel_surface", "panel_uncertainty", "picture_of", "pixels", "precision",
    "predicted_volume", "previous_finding", "proportions_note", "recall", "reference_area", "report_threshold",
    "report_title", "reset", "save", "saved", "side_back", "side_front", "side_left", "side_right", "side_up",
    "slice", "slice_of", "strip", "style_fill", "style_outline", "swipe_sides", "this_series", "this_slice",
    "tip_agreement", "tip_brush", "tip_brush_size", "tip_eraser", "tip_opacity", "tip_planes", "tip_prediction",
    "tip_reset", "tip_swipe", "tip_uncertainty", "tip_window_level", "tip_window_width",
    "tools_channel", "tools_correct", "tools_layers", "tools_layout", "tools_out", "tools_style", "undo", "unit_area",
    "unit_volume", "viewer", "window_level", "window_width",
)  # fmt: skip
