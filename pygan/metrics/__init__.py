"""Metrics of generated images.

The formulas take arrays of numpy and need nothing else: :func:`pygan.metrics.fid.fid`,
:func:`pygan.metrics.kid.kid`, :func:`pygan.metrics.precision_recall.precision_recall`,
:func:`pygan.metrics.inception_score.inception_score`. The networks that make features of images are
in :mod:`pygan.metrics.extractors`.
"""
