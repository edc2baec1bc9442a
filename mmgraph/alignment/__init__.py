"""Alignment: which frames of one stream go with which of another."""
