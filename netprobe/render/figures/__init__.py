"""Figures of a Run or a comparison, as plotly objects. One file per figure."""
