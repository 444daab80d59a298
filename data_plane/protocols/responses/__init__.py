"""OpenAI's Responses API, as clients of it speak it.

API: https://platform.openai.com/docs/api-reference/responses. Nothing is stored: what needs the
answers before is refused.
"""
