"""What `netprobe.load` and `netprobe.compare` give: a Run and a comparison with findings, figures and a face."""
