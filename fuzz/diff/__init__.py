"""The parts of fuzz/differential.py: readers, inputs and the classes of disagreement."""
