"""Studies from an archive and results back to it, by DICOMweb or DIMSE; and the node that does so unattended."""
