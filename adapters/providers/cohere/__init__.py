"""Cohere: chat, generate and embed."""
