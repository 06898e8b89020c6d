"""The pieces of the faster meta update: segments, gated layers, samplers, learners and the meta gradient."""
