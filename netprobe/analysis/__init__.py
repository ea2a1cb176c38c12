"""Rates, percentiles, summaries: pure functions on tables. Needs neither root nor BCC."""
