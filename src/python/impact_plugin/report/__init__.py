"""Registrations and features as pictures.

- :func:`write_report` shows a registration as one HTML page;
- :func:`write_cohort_report` shows a cohort as one;
- :func:`view_features` shows what networks see of images, and how sharply they tell places apart.

They need matplotlib and jinja2 (``pip install "impact-plugin[report]"``) and no display.
"""

from __future__ import annotations

from impact_plugin.cohort.report import write_cohort_report
from impact_plugin.report.features import FeatureView, view_features
from impact_plugin.report.registration import write_report

__all__ = ["FeatureView", "view_features", "write_cohort_report", "write_report"]
