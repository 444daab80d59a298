"""The canonical form, which is OpenAI's JSON: read from callers, built for them."""
