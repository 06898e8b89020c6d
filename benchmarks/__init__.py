"""Commands that measure: ratios to plain training taken in one run, never times alone."""

import os

# Read once, when TensorFlow is loaded; a value that the user has set stays.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
