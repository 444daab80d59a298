"""Serves one model over HTTP; runs in the model's own environment, as `ENV/bin/python -I serve.py`.

Nothing but the standard library of Python 3.8 or newer and the environment's own MLflow, 2 or 3:

    serve        the entry: gives these files a name that no model uses, and starts `main`
    main         one model: load it, listen, say so, end when told
    server       connections, and what is answered without the model
    http1        a request and an answer on a socket
    slots        how many requests are in the model, and how many wait
    last_asked   when the model was asked last, for whoever finds this process dead
    evaluation   how long a request may take
    invocation   a request to the model, from the bytes of its body to those of the answer
    bodies       what a body says
    model        MLflow's model
    traces       what a model did for one request, for callers who ask for it
    language     what a body asks of a language model
    sampling     how it is to choose its words
    llama_cpp    a language model in GGUF, by llama.cpp; `llama_cpp_answers` shapes what it says
    vllm         a language model that vLLM serves
    command      a model that is served by a command of its own
    child        a server below this process, which the last two ask
    figures      what an engine says of itself
    answers      what a model says, as JSON
    refusals     what callers are told instead
"""
