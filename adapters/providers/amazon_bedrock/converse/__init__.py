"""Converse, the one format that every family of chat models at Bedrock understands."""
