"""What the image of containers holds. No engine for containers is here."""
