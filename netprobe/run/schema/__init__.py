"""The schema of a Run: every table is declared once, in `tables.py`."""
