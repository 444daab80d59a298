"""Google's Gemini API, as clients of it speak it.

API: https://ai.google.dev/api. The way to Gemini as a provider is
`adapters/providers/google_cloud_vertex_ai`.
"""
