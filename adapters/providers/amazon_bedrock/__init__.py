"""Amazon Bedrock: chat through Converse, completions and embeddings through InvokeModel."""
