"""Data sets, label noise, and the input pipeline. Nothing here knows of networks or of the algorithm."""
