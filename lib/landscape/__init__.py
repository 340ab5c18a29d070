"""Planes, paths and maps of the loss landscape."""
