"""Registrations and features as pictures and pages.

Needs matplotlib and jinja2 (``pip install "impact-plugin[report]"``), but no display.
"""
