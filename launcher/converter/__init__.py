"""Writes the weights of a transformers model in the form that llama.cpp loads (GGUF).

It runs in an environment of its own, which has `gguf` and `numpy` and nothing of modelplane's:
`ENV/bin/python -I convert.py`. Weights pass through it piece by piece, without PyTorch, so that its
memory is bounded by the largest tensor and not by the model.

convert        what is run
main           options, progress, and what is said at the end
families       which architectures there are, and what llama.cpp wants to know of each
vocabulary     the tokenizer, from `tokenizer.json`
weights        tensors, from safetensors to the form of the file
refusal        what cannot be converted, in words
"""
