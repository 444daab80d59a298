"""Google Cloud Vertex AI: Gemini, Claude on Vertex, PaLM and the embedding models."""
