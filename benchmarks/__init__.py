"""Programs that compare runs and measure steps; the numbers they publish are in results/."""
