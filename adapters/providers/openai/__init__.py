"""OpenAI, and Azure OpenAI."""
