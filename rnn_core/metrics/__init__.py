"""Scores of answers, one file a family: numpy, no model and no head known."""
