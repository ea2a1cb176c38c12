"""What changed between two Runs, what is noise, and what could not have been seen."""
