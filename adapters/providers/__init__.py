"""Providers: pure translation to and from each wire format, and the one HTTP client."""
