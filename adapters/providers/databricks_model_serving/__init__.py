"""Serving endpoints of another deployment."""
