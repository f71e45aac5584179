"""LGG Demo: outlines the FLAIR abnormality of suspected lower-grade gliomas. Research and teaching, not diagnosis."""

__version__ = "0.1.0"
