"""Photographs: reading them, pretrained weights read safely, networks that turn pictures into regions' features."""
