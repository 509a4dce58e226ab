"""Nightfold: what every process shares and none of them owns."""
